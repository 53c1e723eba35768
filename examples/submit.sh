#!/usr/bin/env bash
# Gives an agent a task, says on stderr what happens, waits for the end, prints the answer, and keeps the changes as a patch.
#
#   export CAPYBARA_URL=http://127.0.0.1:7070 CAPYBARA_API_KEY=capy_…       # with the scopes read and submit
#   ./submit.sh "Mend the failing test." https://github.com/acme/app.git
#   git apply changes.patch
#
# Needs bash, curl and jq. Exit code 0 where the task succeeded, 1 where it did not.
set -euo pipefail
: "${CAPYBARA_URL:?is not set}" "${CAPYBARA_API_KEY:?is not set}"
prompt=${1:?expected a prompt}
repository=${2:-}
# The same key is the same task: whoever repeats this after a failure gives the key of the first try.
key=${IDEMPOTENCY_KEY:-submit-$(date +%s)-$RANDOM$RANDOM}

# The API key stands in no argument, where every process of the machine could read it.
api() {
  curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$CAPYBARA_API_KEY") "$@"
}

body=$(jq --null-input --arg prompt "$prompt" --arg url "$repository" \
  '{prompt: $prompt, mode: "auto", limits: {turns: 50},
    workspace: (if $url == "" then {kind: "empty"} else {kind: "git", url: $url} end)}')
created=$(api "$CAPYBARA_URL/v1/tasks" --json "$body" --header "Idempotency-Key: $key")
task=$(jq --raw-output .id <<<"$created")
session=$(jq --raw-output .sessionId <<<"$created")
echo "$task" >&2

# A page comes as soon as there is something on it, or empty after 30 s.
seq=0
end=
until [[ $end ]]; do
  page=$(api "$CAPYBARA_URL/v1/sessions/$session/events?after=$seq&wait=30&types=task.*,tool.completed")
  seq=$(jq .seq <<<"$page")
  jq --raw-output '.data[] | "\(.at) \(.type)"' <<<"$page" >&2
  end=$(jq --raw-output --arg task "$task" \
    '.data[] | select(.taskId == $task and (.type | test("succeeded|failed|cancelled"))).type' <<<"$page")
done

api "$CAPYBARA_URL/v1/sessions/$session/diff" --output "${PATCH:-changes.patch}"
api "$CAPYBARA_URL/v1/tasks/$task" | jq --raw-output '.result.text // "\(.error.code): \(.error.message)"'
[[ $end == task.succeeded ]]
