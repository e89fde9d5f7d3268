#!/bin/bash
# Models and data sets by name: what a job makes is registered in one call, a job that names it gets those very
# bytes, and which student came from which teacher follows by itself.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
json='Content-Type: application/json'
post() { # PATH JSON
    local payload=$2
    api POST "$1" "$json"
}
submit '.student.model = "resnet8x4" | .train.max_steps = 2'
teacher=$id
post /api/v1/models "{\"name\":\"big\",\"job\":\"$teacher\"}"
[ "$code" = 409 ] || state_is "$teacher" succeeded || fail "a model of a job that is not over: $code"
wait_state "$teacher" succeeded
out=$state/jobs/$teacher/out
sha() { # FILE
    sha256sum <"$1" | cut -c 1-64
}

# -- Registering, twice: one version --
[ "$(ctl models add big --job "$teacher" --set labels.site=here)" = big@1 ] || fail "models add --job"
[ "$(ctl models add big --job "$teacher")" = big@1 ] || fail "the same content is a new version"
api GET /api/v1/models/big/versions/1
expect 200 "the model"
[ "$(body '"\(.kind) \(.architecture) \(.classes) \(.image_size) \(.format) \(.labels.site) \(.mean[0]) \(.lineage.job) \(.lineage.teacher)"')" = \
    "train resnet8x4 4 32 safetensors here 0.5 $teacher null" ] || fail "what is known of the model: $text"
[ "$(body .sha256)" = "$(sha "$out/student.safetensors")" ] || fail "its hash: $text"
cmp "$state/blobs/$(body .sha256)" "$out/student.safetensors" || fail "the blob has other bytes"

# -- Its file --
file=/api/v1/models/big/versions/1/file
curl_api GET "$file" -H 'Range: bytes=100-299'
expect 206 "a part of the file"
cmp -s "$tmp/body" <(tail -c +101 "$out/student.safetensors" | head -c 200) || fail "a part with other bytes"
header etag
[ "$value" = "\"$(sha "$out/student.safetensors")\"" ] || fail "the tag of the file: $value"
header repr-digest
# shellcheck disable=SC2059
[ "$value" = "sha-256=:$(printf "$(sha "$out/student.safetensors" | sed 's/../\\x&/g')" | base64):" ] || fail "Repr-Digest: $value"
cp "$out/student.safetensors" "$tmp/kept" # the run directory is not where the model lives
echo spoilt >"$out/student.safetensors"
[ "$(ctl models fetch big -o "$tmp/got")" = "$tmp/got/big@1.safetensors" ] || fail "models fetch"
cmp "$tmp/got/big@1.safetensors" "$tmp/kept" || fail "models fetch: other bytes"
# What breaks on the way, or at rest, is not taken for the model.
head -c 1000 "$tmp/kept" >"$tmp/got/big@1.safetensors.part"
printf '"%s"' "$(sha "$tmp/kept")" >"$tmp/got/big@1.safetensors.part.etag"
ctl models fetch big@1 -q -o "$tmp/got" >/dev/null || fail "a fetch that goes on"
cmp "$tmp/got/big@1.safetensors" "$tmp/kept" || fail "a fetch that goes on: other bytes"
rm "$tmp/got/big@1.safetensors"
head -c 1000 /dev/zero >"$tmp/got/big@1.safetensors.part"
printf '"%s"' "$(sha "$tmp/kept")" >"$tmp/got/big@1.safetensors.part.etag"
ctl models fetch big@1 -o "$tmp/got" 2>"$tmp/err"
[ $? -eq 65 ] && grep -q 'what came has the sha256' "$tmp/err" || fail "wrong bytes pass: $(cat "$tmp/err")"
[ -z "$(ls "$tmp/got")" ] || fail "left of wrong bytes: $(ls "$tmp/got")"

# From a file: the same bytes under another name, and what the file does not say. What it says must be so.
[ "$(ctl models add copy "$tmp/kept" -q --set labels.by=hand)" = copy@1 ] || fail "a model from a file"
[ "$(get /api/v1/models/copy/versions/1 '"\(.kind) \(.architecture) \(.labels.by) \(.lineage.job)"')" = \
    "upload resnet8x4 hand null" ] || fail "what is known of a file: $text"
ctl models add copy "$tmp/kept" -q --set architecture=resnet8 2>"$tmp/err" && fail "a file passes for another model"
grep -q 'the file says "resnet8x4", not "resnet8"' "$tmp/err" || fail "another model: $(cat "$tmp/err")"
cp "$tmp/kept" "$tmp/longer"
echo >>"$tmp/longer"
ctl models add copy "$tmp/longer" -q 2>"$tmp/err" && fail "a damaged file is a model"
grep -q 'the file' "$tmp/err" && ! grep -qF "$state" "$tmp/err" || fail "a message about a damaged file: $(cat "$tmp/err")"
ctl models rm copy@1 || fail "models rm"

# -- Names in jobs --
named='.kind = "distill" | .teacher = {weights: "model:big"} | .losses = [{kind: "ce"}, {kind: "kd"}]'
ctl datasets add tiny procedural:classes=4,train=32,test=16,seed=3 >"$tmp/out" || fail "datasets add"
data_sha=$(cat "$tmp/out")
submit "$named | .data.source = \"dataset:tiny\""
student=$id
[ "$(body '"\(.spec.teacher.weights) \(.spec.teacher.model) \(.spec.data.source)"')" = \
    "model:big@1 resnet8x4 dataset:tiny" ] || fail "the names are pinned: $text"
wait_state "$student" succeeded
[ "$(get "/api/v1/jobs/$student" '.uses | map("\(.field)=\(.name)@\(.version):\(.sha256)") | join(" ")')" = \
    "teacher.weights=big@1:$(sha "$tmp/kept") data.source=tiny@null:$data_sha" ] || fail "what the job uses: $text"
# The same job with paths: the same bytes.
spec=$(job "$named | .teacher = {model: \"resnet8x4\", weights: \"$tmp/kept\"}")
post_job "$spec"
expect 202 "the same with paths"
plain=$(body .id)
wait_state "$plain" succeeded
cmp "$state/jobs/$plain/out/student.safetensors" "$state/jobs/$student/out/student.safetensors" || fail "a name gives other bytes than its path"

# A student that is a graph: what is registered of it is the graph.
submit ".student = {weights: \"$state/jobs/$plain/out/student.onnx\"} | .train.max_steps = 2"
wait_state "$id" succeeded
[ "$(ctl models add graph --job "$id")" = graph@1 ] || fail "a student that is a graph"
[ "$(get /api/v1/models/graph/versions/1 '"\(.kind) \(.architecture) \(.format) \(.classes) \(.image_size) \(.lineage.job) \(.sha256)"')" = \
    "train onnx onnx 4 32 $id $(sha "$state/jobs/$id/out/student.onnx")" ] || fail "what is known of a graph: $text"
ctl models rm graph@1 || fail "models rm"

# -- Lineage, by name and by content --
[ "$(ctl models add small --job "$student")" = small@1 ] || fail "the student"
[ "$(ctl models add again --job "$plain")" = again@1 ] || fail "the student of paths"
[ "$(get /api/v1/models/small/versions/1 '"\(.kind) \(.lineage.teacher.model)@\(.lineage.teacher.version) \(.lineage.dataset.name)"')" = \
    "distill big@1 tiny" ] || fail "lineage of the student: $text"
submit '.student = {weights: "model:small@1"} | .train.max_steps = 2'
wait_state "$id" succeeded
[ "$(ctl models add tuned --job "$id")" = tuned@1 ] || fail "the student's student"
for name in big small; do
    [ "$(get "/api/v1/models/$name/versions/1/lineage" '.steps | map("\(.from)>\(.to):\(.role)") | sort | join(" ")')" = \
        "$([ $name = small ] || echo 'big@1>again@1:teacher ')big@1>small@1:teacher small@1>tuned@1:start" ] || fail "the family of $name: $text"
done
ctl models show tuned >"$tmp/out" || fail "models show"
grep -qx 'big@1 -> small@1 (teacher)' "$tmp/out" && grep -qx 'small@1 -> tuned@1 (start)' "$tmp/out" || fail "models show: $(cat "$tmp/out")"
# Lists and pages.
[ "$(get '/api/v1/models?kind=distill' '.items | map(.name) | join(" ")')" = "again small" ] || fail "models by kind: $text"
api GET '/api/v1/models?page_size=3'
[ "$(body '.items | map(.name) | join(" ")')" = "tuned again small" ] || fail "the first page: $text"
api GET "/api/v1/models?page_size=3&page_token=$(body .next_page_token)"
[ "$(body '"\(.items | map(.name) | join(" ")) \(.next_page_token)"')" = "big null" ] || fail "the last page: $text"

# -- What is refused --
refused() { # FILTER TEXT
    post_job "$(job "$1")"
    problem 422 invalid "$1"
    [[ $text == *"$2"* ]] || fail "$1: $text"
}
refused "$named | .teacher.weights = \"model:nobody\"" 'there is no model \"nobody\"'
refused "$named | .teacher.weights = \"model:big@7\"" 'has no version 7; the newest is 1'
refused "$named | .teacher.weights = \"model:Big\"" 'lower-case'
refused "$named | .teacher.weights = \"model:big@x\"" 'expected a version'
refused "$named | .teacher.model = \"resnet8\"" 'is \"resnet8\", but model:big@1 is a resnet8x4'
refused '.data.source = "dataset:nobody"' 'there is no data set'
post /api/v1/models '{"name":"x","sha256":"'"$(printf '0%.0s' {1..64})"'"}'
problem 404 not_found "a file that is not here"
for body in '{"name":"x"}' '{"name":"x","job":"j","sha256":"'"$data_sha"'"}' '{"name":"-x","job":"j"}' '{"name":"x","jobs":"j"}' \
    '{"name":"x","job":"'"$teacher"'","artifact":"../../token"}' '{"name":"x","sha256":"../token"}' '{"name":3}' '[]'; do
    post /api/v1/models "$body"
    problem 422 invalid "registering $body"
done
api DELETE /api/v1/models/big/versions/1
problem 409 conflict "removing a teacher"
submit "$named | $long"
api DELETE /api/v1/models/again/versions/1
expect 204 "removing a model"
api DELETE /api/v1/models/again/versions/1
problem 404 not_found "removing it again"
[ "$(ctl models add again --job "$plain")" = again@2 ] || fail "a version is given twice"
submit "${named/big/small} | .data.source = \"dataset:tiny\" | $long"
uses_data=$id
api DELETE /api/v1/datasets/tiny
problem 409 conflict "removing data that a job uses"
ctl models rm tuned@1 || fail "models rm"
api DELETE /api/v1/models/small/versions/1
problem 409 conflict "removing a model that a job uses"
for id in $(get /api/v1/jobs '.items[] | select(.finished_at == null) | .id'); do
    verb "$id" cancel
    wait_state "$id" cancelled
done

# -- What a name stands for may not change under a job --
api DELETE /api/v1/datasets/tiny
expect 204 "removing data"
[ "$(ctl datasets add tiny procedural:classes=4,train=32,test=16,seed=4)" != "$data_sha" ] || fail "other data have the same hash"
api POST "/api/v1/jobs/$uses_data:retry"
problem 409 conflict "a job whose data have another name"
[[ $text == *"$data_sha"* ]] || fail "the old hash is not named: $text"

# Data that change where they are: the job says so, with both hashes.
mkdir "$tmp/idx"
idx() { # PREFIX COUNT
    local n
    printf -v n '\\x%02x' "$2"
    { printf '\0\0\10\3\0\0\0%b\0\0\0\x20\0\0\0\x20' "$n"; head -c $(($2 * 1024)) /dev/urandom; } >"$tmp/idx/$1-images-idx3-ubyte"
    { printf '\0\0\10\1\0\0\0%b' "$n"; for ((i = 0; i < $2; i++)); do printf "\\x0$((i % 4))"; done; } >"$tmp/idx/$1-labels-idx1-ubyte"
}
idx train 64
idx t10k 32
old=$(ctl datasets add mine "idx:$tmp/idx") || fail "data in a folder"
submit '.data.source = "dataset:mine" | .train.max_steps = 1'
wait_state "$id" succeeded
idx train 64
submit '.data.source = "dataset:mine" | .train.max_steps = 1'
within 20 state_is "$id" failed || fail "changed data are taken: $now"
[ "$(body .reason.code)" = bad_data ] && [[ $text == *"its sha256 was $old and is "* ]] || fail "changed data: $(body .reason.message)"

# -- All of it is there after a restart, and nothing else --
before=$(get /api/v1/models .)
echo orphan >"$state/blobs/$(printf 'a%.0s' {1..64})"
echo half >"$state/blobs/x.tmp-1"
echo part >"$state/uploads/upl_0"
stop_daemon
start_daemon
[ "$(get /api/v1/models .)" = "$before" ] || fail "other models after a restart"
uploaded=$(sha "$tmp/longer") # protected by its upload, for a day
left=$(cd "$state/blobs" && ls | grep -v "$uploaded" | sort)
[ "$left" = "$(get /api/v1/models '.items[].sha256' | sort -u)" ] || fail "blobs: $left"
[ -z "$(ls "$state/uploads")" ] || fail "uploads: $(ls "$state/uploads")"
problems_are_whole

# -- What takes for ever holds up nobody, and not the end --
cat >"$tmp/slow" <<W
#!/bin/bash
[ "\$1" != manifest ] || exec -a "distill-worker manifest $tmp" sleep 1000
exec "$builddir/distill-worker" "\$@"
W
chmod +x "$tmp/slow"
stop_daemon
start_daemon --worker "$tmp/slow"
ctl datasets add endless "idx:$tmp/idx" 2>"$tmp/err" &
client=$!
looking() {
    pgrep -P "$daemon" -f "distill-worker manifest $tmp" >/dev/null
}
within 10 looking || fail "nobody looks at the data"
api GET /api/v1/models
expect 200 "another request meanwhile"
stop_daemon
wait $client && fail "endless data are registered"
[ -z "$(pgrep -f "distill-worker manifest $tmp")" ] || fail "the worker is left behind"
