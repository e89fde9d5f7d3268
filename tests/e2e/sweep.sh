#!/bin/bash
# A sweep: its jobs are made one after another, by a daemon that is killed meanwhile, each once; what the
# summary says of them is what their results say.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
post_job "$(job '.resources.ranks = 1 | .sweep = {seeds: [1, 2], parallel: 1, baseline: {"optimizer.lr": 0.1},
    grid: [{field: "optimizer.lr", values: [0.02, 0.1]}]}')"
expect 202 "submitting"
[ "$(body '[.state, .sweep.total, .sweep.next, .spec.sweep.seeds] | tostring')" = '["queued",4,0,[1,2]]' ] || fail "the sweep: $text"
sweep=$(body .id)

children() { # FILTER
    get "/api/v1/jobs?sweep=$sweep" "[.items[]] | sort_by(.sweep.index) | $1"
}

# So many of its jobs have been made.
has_made() { # JOBS
    api GET "/api/v1/jobs/$sweep"
    [[ $text =~ \"next\":([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge "$1" ]
}

# At once, and twice in the middle.
kill_daemon
start_daemon
for n in 1 3; do
    within 30 has_made $n || fail "the sweep does not get on: $(get "/api/v1/jobs/$sweep" .)"
    kill_daemon
    start_daemon
done
ctl watch "$sweep" >"$tmp/watched" || fail "watch: $(cat "$tmp/watched")"
grep -q 'succeeded .*100 %  job 4/4' "$tmp/watched" || fail "watch: $(cat "$tmp/watched")"

# Each job once, of the right values, and none before the one in front of it was over.
[ "$(children '[.[] | [.state, .sweep.index, .sweep.point, .sweep.values["optimizer.lr"], .sweep.seed]] | tostring')" = \
    '[["succeeded",0,0,0.02,1],["succeeded",1,0,0.02,2],["succeeded",2,1,0.1,1],["succeeded",3,1,0.1,2]]' ] ||
    fail "jobs: $text"
[ "$(children 'all(.sweep.parent == "'"$sweep"'" and .spec.train.seed == .sweep.seed
    and .spec.optimizer.lr == .sweep.values["optimizer.lr"] and .spec.sweep == null)')" = true ] || fail "specs: $text"
[ "$(children '. as $j | [range(1; 4)] | all($j[. - 1].finished_at <= $j[.].created_at)')" = true ] || fail "more than one at once: $text"
[ "$(get "/api/v1/jobs/$sweep/events" '[.items[].state] | tostring')" = '["queued","running","succeeded"]' ] || fail "history: $text"
[ "$(get /api/v1/jobs '[.items[].id] | tostring')" = "[\"$sweep\"]" ] || fail "the list of all jobs: $text"
[ "$(ctl list --sweep "$sweep" | wc -l)" = 5 ] || fail "the list of its jobs: $(ctl list --sweep "$sweep")"

# The same figures from the results alone; 12.7062 is Student's t for 97.5 % and one degree of freedom.
figure="final.loss_raw/ce"
children '[.[].result.final["loss_raw/ce"]]' >"$tmp/results"
api GET "/api/v1/jobs/$sweep/summary?figure=final.loss_raw/ce&figure=best.top1&figure=final.nothing"
expect 200 "summary"
jq -e --arg f "$figure" --slurpfile v "$tmp/results" '
    def near(a; b): (a - b) | (if . < 0 then -. else . end) <= 1e-6 * (1 + (b | if . < 0 then -. else . end));
    def sd: (add / length) as $m | (map((. - $m) * (. - $m)) | add / (length - 1) | sqrt);
    $v[0] as $r | [$r[0] - $r[2], $r[1] - $r[3]] as $d | (12.7062047 * ($d | sd) / (2 | sqrt)) as $e |
    .points == 2 and .seeds == 2 and .baseline == 1 and .next_first == null
    and ([.items[].jobs[].figures[$f]] == $r) and ($r[0] != $r[2])
    and (.items[0].figures[$f] | .n == 2 and near(.mean; ($r[0] + $r[1]) / 2) and near(.sd; [$r[0], $r[1]] | sd))
    and (.items[0].figures[$f].difference | .method == "paired" and .pairs == 2 and near(.value; $d | add / 2)
        and near(.low; ($d | add / 2) - $e) and near(.high; ($d | add / 2) + $e)
        and .contains_zero == (.low <= 0 and .high >= 0))
    and .items[1].figures[$f].difference == null
    and ([.items[].jobs[0].figures["best.top1"] | type] == ["number", "number"])
    and (.items[0].figures["final.nothing"] == {n: 0, mean: null, sd: null, difference: null})' <<<"$text" >/dev/null ||
    fail "summary of $(cat "$tmp/results"): $text"

ctl compare "$sweep" --figure "$figure" >"$tmp/out" || fail "compare"
grep -qE '^ *0 +optimizer.lr=0.02 +2 +[0-9.]+ +[0-9.]+ +[-+][0-9.e-]+ +\[.*\] ' "$tmp/out" || fail "compare: $(cat "$tmp/out")"
grep -qE '^ *1 +optimizer.lr=0.1 .* the baseline$' "$tmp/out" || fail "compare: $(cat "$tmp/out")"
ctl --json compare "$sweep" >"$tmp/out" || fail "compare --json"
jq -e '.items | length == 2 and all(.figures | keys == ["best.top1", "final.top1"])' "$tmp/out" >/dev/null || fail "compare --json: $(cat "$tmp/out")"

# What cannot be.
job=$(children '.[0].id')
for pair in "$sweep $sweep" "$job $sweep"; do
    # shellcheck disable=SC2086
    ctl compare $pair 2>"$tmp/err"
    [ $? -eq 2 ] && grep -q "$sweep is a sweep; two jobs can be compared, or" "$tmp/err" || fail "compare $pair: $(cat "$tmp/err")"
done
api GET "/api/v1/jobs/$job/summary"
problem 409 conflict "the summary of a job"
ctl compare "$job" 2>"$tmp/err"
[ $? -ne 0 ] && grep -q 'is no sweep' "$tmp/err" || fail "one job is compared: $(cat "$tmp/err")"
api GET "/api/v1/jobs/$sweep/summary?first=2"
problem 400 bad_request "a point that is not there"
api GET "/api/v1/jobs/$sweep/summary?figure=%FF"
problem 400 bad_request "a figure that is no text"
api POST "/api/v1/jobs/$sweep:resize" 'Content-Type: application/json'
problem 409 conflict "ranks for a sweep that is over"
post_job "$(job '.sweep = {grid: [{field: "optimizer.lr", values: [0.1, -1, 0.10]}, {field: "resources.ranks", values: [1, 64]},
    {field: "student.model", values: ["resnet8", "resnet9"]}, {field: "student.weights", values: [null, "x"]}]}')"
problem 422 invalid "bad values"
[ "$(body '[.errors[].pointer] | tostring')" = \
    '["#/sweep/grid/0/values/1","#/sweep/grid/0/values/2","#/sweep/grid/1/values/1","#/sweep/grid/1/values/1","#/sweep/grid/2/values/1","#/sweep/grid/3/values/1"]' ] ||
    fail "bad values: $text"
problems_are_whole

# A combination that no host can take fails, and holds up neither the sweep nor a second try of it.
post_job "$(job '.train.max_steps = 1 | .train.lanes = 2 | .sweep = {parallel: 1,
    grid: [{field: "resources.ranks", values: [1, 2]}, {field: "resources.threads", values: [1, 2]}]}')"
expect 202 "a combination too large"
sweep=$(body .id)
for round in 1 2; do
    within 30 state_is "$sweep" failed || fail "round $round: $(get "/api/v1/jobs/$sweep" .)"
    [ "$(children '[.[].state] | tostring')" = '["succeeded","succeeded","succeeded","failed"]' ] || fail "round $round: $text"
    [[ $(children '.[3].reason.message') == *"need 4 slots; this daemon has 2"* ]] || fail "round $round: $text"
    [ $round = 2 ] || ctl retry "$sweep" >/dev/null || fail "another try"
done
stop_daemon
