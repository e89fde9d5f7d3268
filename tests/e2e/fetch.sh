#!/bin/bash
# A download that a dying daemon cuts off goes on where it was; a file that has changed comes anew.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
submit
wait_state "$id" succeeded
big=$state/jobs/$id/out/best.safetensors
head -c 200000000 /dev/urandom >"$big"
touch -d '1 hour ago' "$big"
mkdir "$tmp/got"
part=$tmp/got/best.safetensors.part

part_has() { # BYTES
    [ "$(stat -c %s "$part" 2>/dev/null || echo 0)" -ge "$1" ]
}

# Starts a download and kills the daemon in the middle of it.
interrupt() { # BYTES
    ctl fetch "$id" best.safetensors -o "$tmp/got" >"$tmp/out" 2>"$tmp/err" &
    local fetcher=$!
    within 30 part_has "$1" || fail "nothing comes: $(cat "$tmp/err")"
    kill -STOP $fetcher
    kill_daemon
    kill -CONT $fetcher
    wait $fetcher
    local status=$?
    [ $status -eq 5 ] || fail "a download that was cut off ends with $status: $(cat "$tmp/err")"
    grep -q 'keeps [0-9]* bytes for the next time' "$tmp/err" || fail "no word about the part: $(cat "$tmp/err")"
    [ ! -e "$tmp/got/best.safetensors" ] || fail "half a file has the name of a whole one"
    start_daemon
}

interrupt 1000000
held=$(stat -c %s "$part")
[ "$held" -lt 200000000 ] || fail "the part is whole"
cmp -s -n "$held" "$part" "$big" || fail "the part is no beginning of the file"
ctl fetch "$id" best.safetensors -o "$tmp/got" >"$tmp/out" 2>"$tmp/err" || fail "fetch again: $(cat "$tmp/err")"
grep -q 'best.safetensors: going on after' "$tmp/err" || fail "it did not go on: $(cat "$tmp/err")"
cmp "$tmp/got/best.safetensors" "$big" || fail "the file has other bytes"
[ "$(ls "$tmp/got")" = best.safetensors ] || fail "left behind: $(ls "$tmp/got")"
rm "$tmp/got/best.safetensors"

# Another version since then.
interrupt 1000000
head -c 2000000 /dev/urandom >"$big.new"
touch -d '1 hour ago' "$big.new"
mv "$big.new" "$big"
ctl fetch "$id" best.safetensors --quiet -o "$tmp/got" >"$tmp/out" 2>"$tmp/err" || fail "fetch anew: $(cat "$tmp/err")"
[ ! -s "$tmp/err" ] || fail "--quiet says $(cat "$tmp/err")"
cmp "$tmp/got/best.safetensors" "$big" || fail "a mixture of two versions"
stop_daemon
