#!/bin/bash
# A download that a dying daemon cuts off goes on where it was; a file that has changed comes anew.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
submit
wait_state "$id" succeeded
big=$state/jobs/$id/out/best.safetensors
head -c 60000000 /dev/urandom >"$big"
# A file that has changed just now has no tag yet by which a part of it could be known (daemon/etag.c).
pause 0.1
mkdir "$tmp/got"
part=$tmp/got/best.safetensors.part

# Starts a download and kills the daemon in the middle of it. One that was too fast for that is repeated.
interrupt() {
    local fetcher status=0 tries=0
    while [ $status -eq 0 ]; do
        [ $((tries += 1)) -le 20 ] || fail "all downloads were too fast"
        rm -f "$tmp/got/best.safetensors"
        ctl fetch "$id" best.safetensors -o "$tmp/got" >"$tmp/out" 2>"$tmp/err" &
        fetcher=$!
        until [ -s "$part" ] || ! kill -0 $fetcher 2>/dev/null; do :; done
        kill -STOP $fetcher 2>/dev/null
        [ ! -s "$part" ] || kill_daemon
        kill -CONT $fetcher 2>/dev/null
        wait $fetcher
        status=$?
        [ -n "$daemon" ] || start_daemon
    done
    [ $status -eq 5 ] || fail "a download that was cut off ends with $status: $(cat "$tmp/err")"
    grep -q 'keeps [0-9]* bytes for the next time' "$tmp/err" || fail "no word about the part: $(cat "$tmp/err")"
    [ ! -e "$tmp/got/best.safetensors" ] || fail "half a file has the name of a whole one"
}

interrupt
held=$(stat -c %s "$part")
[ "$held" -lt 60000000 ] || fail "the part is whole"
cmp -s -n "$held" "$part" "$big" || fail "the part is no beginning of the file"
ctl fetch "$id" best.safetensors -o "$tmp/got" >"$tmp/out" 2>"$tmp/err" || fail "fetch again: $(cat "$tmp/err")"
grep -q 'best.safetensors: going on after' "$tmp/err" || fail "it did not go on: $(cat "$tmp/err")"
cmp "$tmp/got/best.safetensors" "$big" || fail "the file has other bytes"
[ "$(ls "$tmp/got")" = best.safetensors ] || fail "left behind: $(ls "$tmp/got")"
rm "$tmp/got/best.safetensors"

# Another version since then.
interrupt
head -c 2000000 /dev/urandom >"$big.new"
pause 0.1
mv "$big.new" "$big"
ctl fetch "$id" best.safetensors --quiet -o "$tmp/got" >"$tmp/out" 2>"$tmp/err" || fail "fetch anew: $(cat "$tmp/err")"
[ ! -s "$tmp/err" ] || fail "--quiet says $(cat "$tmp/err")"
cmp "$tmp/got/best.safetensors" "$big" || fail "a mixture of two versions"
stop_daemon
