# Sourced by the tests of the running service: a real daemon on loopback, the real distillctl, real ranks.
# The daemon and every process of an attempt are ended when a test ends; one that is still there then,
# although its job is over, makes the test fail.
# shellcheck shell=bash
set -u
export LC_ALL=C
trap : PIPE
for tool in jq curl; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed (Debian package $tool)"; exit 77; }
done
tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-e2e-XXXXXX")
state=$tmp/state
listen=127.0.0.1:0
daemon=        # its pid, while it runs
at_end=:       # before the folder goes
began=$SECONDS # for the failure text
unset "${!DISTILLD_@}"
# Ranks that a daemon starts sleep a while in every step: a job that is to be at it for some seconds takes few steps for
# that, and leaves the processor to the other tests.
export DISTILLD_FAULT=slow:40
# Every deadline is taken as many times: machines are shared, and what is slow there is not wrong. Builds
# under sanitizers ask for more.
PATIENCE=${PATIENCE:-3}

fail() {
    trap - ERR
    echo "FAIL: $* (after $((SECONDS - began)) s)"
    echo "--- daemon log"
    tail -n 30 "$tmp/daemon.log" 2>/dev/null
    exit 1
}

# -- Processes ----------------------------------------------------------------------------------------

# Pids of all processes of attempts of this test's daemon: shims, mpiruns, ranks.
attempt_pids() {
    grep -lzsx -e "DISTILLD_UPLINK=$state/uplink.sock" -e "DISTILLD_UPLINK=file:$state/uplink.address" /proc/[0-9]*/environ | tr -dc '0-9\n'
}

# The same of one kind: shim, mpirun or worker.
pids_of() { # NAME
    local p
    for p in $(attempt_pids); do
        case "$1 $(readlink "/proc/$p/exe")" in
        "shim "*/distill-shim | "mpirun "*/orterun | "mpirun "*/mpiexec.hydra | "mpirun "*/mpirun* | "worker "*/distill-worker) echo "$p" ;;
        esac
    done
}

pid_of_rank() { # RANK
    local p
    for p in $(pids_of worker); do
        tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qxE "(OMPI_COMM_WORLD|PMI)_RANK=$1" && echo "$p"
    done
}

no_attempts() {
    [ -z "$(attempt_pids)" ]
}

cleanup() {
    local status=$? left
    trap - EXIT
    [ -z "$daemon" ] || kill_daemon
    if [ $status -eq 0 ]; then
        left=$(attempt_pids)
        # One that is just ending is gone a moment later.
        [ -z "$left" ] || { within 2 no_attempts; left=$(attempt_pids); }
        if [ -n "$left" ]; then
            # shellcheck disable=SC2086
            ps -o pid,ppid,stat,args -p "${left//$'\n'/,}"
            echo "FAIL: processes were left behind"
            status=1
        fi
    fi
    # shellcheck disable=SC2046
    while ! no_attempts; do
        kill -9 $(attempt_pids) 2>/dev/null
        sleep 0.05
    done
    # Nobody looks after the attempts of a daemon that is gone for good.
    sed -n 's|^ *"cgroup": "\(/.*\)",*$|\1|p' "$state"/jobs/*/attempts/*/attempt.json 2>/dev/null | xargs -r rmdir 2>/dev/null
    $at_end
    if [ -n "${keep:-}" ]; then
        echo "kept: $tmp"
    else
        rm -rf "$tmp"
    fi
    exit $status
}
trap cleanup EXIT
# By itself bash would run cleanup as if all had gone well: it would wait for the attempts to end.
trap 'exit 130' INT
trap 'exit 143' TERM

# -- Waiting ------------------------------------------------------------------------------------------

exec {never}<> <(:)

# Without a process of its own.
pause() { # SECONDS
    read -r -t "$1" -u "$never" || :
}

# Until the command succeeds; false after SECONDS times PATIENCE.
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1 * $PATIENCE))
    shift
    until "$@"; do
        [ $SECONDS -le $end ] || return 1
        pause 0.15
    done
}

# -- The daemon ---------------------------------------------------------------------------------------

has_address() {
    [ -s "$state/address" ] || ! kill -0 "$daemon" 2>/dev/null
}

# False when it ends before it can be reached. What stands in `under` runs it.
under=()
try_daemon() { # [OPTION]...
    rm -f "$state/address"
    "${under[@]}" "$builddir/distilld" --state "$state" --listen "$listen" --slots 2 "$@" >>"$tmp/daemon.log" 2>&1 &
    daemon=$!
    within 20 has_address
    [ -s "$state/address" ] || return 1
    url=$(cat "$state/address")
    address=${url#http://}
    address=${address%:*}/${address##*:}
    token=$(cat "$state/token")
}

start_daemon() { # [OPTION]...
    try_daemon "$@" || fail "the daemon did not start"
}

# One that is not reaped is gone, too, once its other threads are: a shell whose own end came while it waited reaps nobody.
daemon_gone() {
    local stat
    { read -r -a stat <"/proc/${daemon:-none}/stat"; } 2>/dev/null || return 0
    [[ ${stat[2]} == Z && ${stat[19]} == 1 ]] # num_threads
}

# SIGTERM: it ends with status 0, soon.
stop_daemon() {
    kill -TERM "$daemon"
    within 20 daemon_gone || fail "the daemon does not stop"
    wait "$daemon"
    local status=$?
    [ $status -eq 0 ] || fail "the daemon ended with status $status"
    daemon=
}

kill_daemon() {
    { kill -9 "$daemon" && wait "$daemon"; } 2>/dev/null
    within 20 daemon_gone || fail "the daemon outlives SIGKILL"
    daemon=
}

# -- The API ------------------------------------------------------------------------------------------

# One request by this shell alone, which costs nothing where a test asks often. Status in $code, headers
# in $head, body in $text; $payload is sent.
payload=
http() { # METHOD PATH [HEADER]...
    local fd line extra= length=
    for line in "${@:3}"; do
        extra+=$line$'\r\n'
    done
    [ "$1" = GET ] || [ "$1" = HEAD ] || length="Content-Length: ${#payload}"$'\r\n'
    code=000 head='' text=''
    { exec {fd}<>"/dev/tcp/$address"; } 2>/dev/null || return 0
    printf '%s' "$1 $2 HTTP/1.1"$'\r\n'"Host: ${host-127.0.0.1}"$'\r\n'"Connection: close"$'\r\n'"$length$extra"$'\r\n'"$payload" >&"$fd" 2>/dev/null
    if read -r -t 15 -u "$fd" line 2>/dev/null && [[ $line =~ ^HTTP/1.1\ ([0-9]{3}) ]]; then
        code=${BASH_REMATCH[1]}
        while IFS= read -r -t 15 -u "$fd" line && [ "$line" != $'\r' ]; do
            head+=${line%$'\r'}$'\n'
        done
        IFS= read -r -d '' -t 15 -u "$fd" text
    fi
    exec {fd}>&-
}

# With the token.
api() { # METHOD PATH [HEADER]...
    http "$@" "Authorization: Bearer $token"
}

# The same by curl, for what its options can do. The token goes by standard input, not by argv.
curl_api() { # METHOD PATH [CURL-OPTION]...
    code=$(curl -sS --max-time 15 -X "$1" -D "$tmp/head" -o "$tmp/body" -w '%{http_code}' \
        -H @- "${@:3}" "$url$2" <<<"Authorization: Bearer $token") || code=000
    head=$(tr -d '\r' <"$tmp/head") text=$(tr -d '\0' <"$tmp/body")
}

body() { # FILTER
    jq -r "$1" <<<"$text"
}

# The value of a header, in $value.
header() { # NAME
    local line
    value=
    while IFS= read -r line; do
        [[ ${line,,} != "${1,,}: "* ]] || value=${line#*: }
    done <<<"$head"
}

expect() { # STATUS WHAT
    [ "$code" = "$1" ] || fail "$2: status $code instead of $1: ${text:0:600}"
}

# The last answer is a problem document of this status and code.
problem() { # STATUS CODE WHAT
    expect "$1" "$3"
    header content-type
    [ "$value" = application/problem+json ] || fail "$3: content type $value"
    [[ $text == *"\"status\":$1,"* && $text == *"\"code\":\"$2\""* ]] || fail "$3: $text"
    printf '%s\n' "$text" >>"$tmp/problems"
}

# All of them so far are whole.
problems_are_whole() {
    jq -es 'all(type == "object" and .type == "/problems/" + .code and (.title | length > 0)
        and (.detail | length > 0) and (.status | type) == "number" and (.instance | test("^[A-Za-z0-9._-]{1,64}$"))
        and (.retryable | type) == "boolean")' "$tmp/problems" >"$tmp/verdict" ||
        fail "a problem document lacks something: $(cat "$tmp/problems")"
}

# A field of GET PATH.
get() { # PATH FILTER
    api GET "$1"
    body "$2"
}

ctl() {
    "$builddir/distillctl" --state "$state" "$@"
}

# -- Jobs ---------------------------------------------------------------------------------------------

# A tiny job, changed by a jq filter.
job() { # [FILTER]
    jq -nc '{kind: "train", name: "e2e",
        data: {source: "procedural:classes=4,train=32,test=16,seed=3"},
        student: {model: "resnet8"},
        train: {epochs: 1, batch: 8, lanes: 2, seed: 1, log_every_steps: 1},
        resources: {ranks: 2, threads: 1},
        retry: {backoff_s: 0}}'" | ${1:-.}"
}

# The same, distilled with KD + ND from a teacher of another width, so that a projector with dropout is
# in: whatever a run goes through, it ends in the same bytes. The first call makes the teacher.
distill_job() { # [FILTER]
    local dir=$tmp/teacher
    [ -e "$dir/student.safetensors" ] || {
        job '.student.model = "mobilenetv2" | .train.max_steps = 2' >"$tmp/teacher.json"
        DISTILLD_FAULT=slow:0 "$builddir/distill-worker" train "$tmp/teacher.json" --out "$dir" >"$dir.log" 2>&1 ||
            fail "the teacher: $(cat "$dir.log")"
    }
    job ".kind = \"distill\" | .teacher = {model: \"mobilenetv2\", weights: \"$dir/student.safetensors\"} |
        .losses = [{kind: \"ce\"}, {kind: \"kd\"}, {kind: \"nd\", weight: 2}] | .train.lanes = 4 | ${1:-.}"
}

# What an undisturbed run of it, by a worker alone, leaves in a folder.
calm_run() { # JSON OUT
    echo "$1" >"$2.json"
    DISTILLD_FAULT=slow:0 DISTILLD_CACHE=$tmp/cache "$builddir/distill-worker" train "$2.json" --out "$2" >"$2.log" 2>&1 ||
        fail "an undisturbed run: $(cat "$2.log")"
}

# Both runs came to the same bytes.
same_run() { # OUT CALM-OUT
    local f last
    last=$(cd "$2" && ls checkpoints/*.safetensors | tail -1)
    for f in student.safetensors best.safetensors class_means.safetensors metrics.jsonl "$last"; do
        [ ! -e "$2/$f" ] || cmp -s "$1/$f" "$2/$f" || fail "$f differs from an undisturbed run's"
    done
}

# One that is still at it when everybody has looked at it: its end comes by cancel.
long='.train.epochs = 100000 | .checkpoint = {every_steps: 2, every_epochs: null}'

post_job() { # JSON
    local payload=$1
    api POST /api/v1/jobs 'Content-Type: application/json'
}

# Its id in $id.
submit() { # [FILTER]
    post_job "$(job "${1:-.}")"
    expect 202 "submitting"
    id=$(body .id)
}

verb() { # ID VERB
    api POST "/api/v1/jobs/$1:$2"
    expect 202 "$2"
}

# The state of a job, in $now.
look() { # ID
    api GET "/api/v1/jobs/$1"
    now=
    [[ ! $text =~ \"state\":\"([a-z]+)\" ]] || now=${BASH_REMATCH[1]}
}

state_is() { # ID STATE
    look "$1"
    [ "$now" = "$2" ]
}

# Waits for it; a job that ends otherwise ends the test.
wait_state() { # ID STATE [SECONDS]
    local end=$((SECONDS + ${3:-20} * $PATIENCE)) now
    until state_is "$1" "$2"; do
        case $now in succeeded | failed | cancelled) break ;; esac
        [ $SECONDS -le $end ] || break
        pause 0.15
    done
    [ "$now" != "$2" ] || return 0
    tail -n 20 "$state/jobs/$1/out/logs/rank-0.log" 2>/dev/null
    fail "job is $now, not $2: $(body .reason.message)"
}

# What is asked many times a second, is asked without a process of its own: jq takes longer to start than a
# small job takes for a step.

# Lines of a run's file that hold TEXT, in $lines.
lines_with() { # ID FILE TEXT
    local line all=()
    lines=()
    { mapfile -t all <"$state/jobs/$1/out/$2"; } 2>/dev/null
    for line in "${all[@]}"; do
        [[ $line != *"$3"* ]] || lines+=("$line")
    done
}

# At least N steps are in the run's metrics.
has_steps() { # ID N
    local lines
    lines_with "$1" metrics.jsonl '"name":"loss/total"'
    [ ${#lines[@]} -ge "$2" ]
}

# The ranks of the attempts that came to their first step, in $started, and the step from which the last one
# went on, in $went_on_from.
read_starts() { # ID
    local line lines
    started=() went_on_from=0
    lines_with "$1" timing.jsonl '"event":"start"'
    for line in "${lines[@]}"; do
        [[ $line =~ \"ranks\":([0-9]+) ]] && started+=("${BASH_REMATCH[1]}")
        went_on_from=0
        [[ ! $line =~ \"resumed_from\":([0-9]+) ]] || went_on_from=${BASH_REMATCH[1]}
    done
}

# Where an attempt began: the step of its checkpoint, or null.
resumed_from() { # ID ATTEMPT
    jq -s "map(select(.event == \"start\"))[$2 - 1].resumed_from" "$state/jobs/$1/out/timing.jsonl"
}

# Running, and N steps on.
wait_steps() { # ID N
    wait_state "$1" running
    within 20 has_steps "$1" "$2" || fail "job makes no progress"
}

# All points of the API, as the lines of metrics.jsonl have them: "name split step value".
series() { # ID
    api GET "/api/v1/jobs/$1/metrics/series"
    expect 200 "series"
    body '.series[] | . as $s | .points[] | "\($s.name) \($s.split) \(.[0]) \(.[1])"' | sort
}

points_of() { # METRICS.JSONL
    jq -r '"\(.name) \(.split) \(.step) \(.value)"' "$1" | sort
}

same_metrics() { # ID
    series "$1" >"$tmp/have"
    points_of "$state/jobs/$1/out/metrics.jsonl" >"$tmp/want"
    [ -s "$tmp/want" ] || fail "there are no metrics"
    cmp -s "$tmp/have" "$tmp/want" || fail "series differ from metrics.jsonl: $(diff "$tmp/have" "$tmp/want" | head -5)"
}

# -- The event stream ---------------------------------------------------------------------------------

# In the background, into FILE; its pid is $!.
listen_events() { # FILE QUERY [CURL-OPTION]...
    local file=$1 query=$2
    shift 2
    curl -sSN --max-time $((60 * $PATIENCE)) -D "$file.head" -o "$file" -H @<(echo "Authorization: Bearer $token") "$@" \
        "$url/api/v1/events$query" &
}

# "id event data" a line; 0 stands for no id.
frames() { # FILE
    awk 'BEGIN { RS = ""; FS = "\n" }
        { id = 0; event = data = ""
          for (i = 1; i <= NF; i++) {
              if ($i ~ /^id: /) id = substr($i, 5)
              if ($i ~ /^event: /) event = substr($i, 8)
              if ($i ~ /^data: /) data = substr($i, 7) }
          if (event != "") print id, event, data }' "$1"
}

events_named() { # FILE EVENT
    frames "$1" | awk -v e="$2" '$2 == e { sub(/^[^ ]* [^ ]* /, ""); print }'
}
