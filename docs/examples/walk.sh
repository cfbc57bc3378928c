#!/usr/bin/env bash
# Two people's pictures become templates and are compared: walk.sh URL FOLDER FOLDER
set -euo pipefail
url=$1

ask() {
    curl --silent --show-error ${COREFACE_API_KEY:+--header "Authorization: Bearer $COREFACE_API_KEY"} "$@"
}

# Of a set that was sent twice with one key there is one answer: safe to repeat when a connection broke.
enrol() {
    local samples=()
    for picture in "$1"/*; do samples+=(--form "samples=@$picture"); done
    ask --fail-with-body --retry 3 --header "Idempotency-Key: $(basename "$1")-$$" "${samples[@]}" "$url/v1/templates" |
        jq --raw-output .template_id
}

one=$(enrol "$2")
other=$(enrol "$3")

compare() {
    ask --fail-with-body --header 'Content-Type: application/json' --data "{
      \"reference\": {\"template_id\": \"$1\"}, \"probe\": {\"template_id\": \"$2\"}, \"operating_point\": \"fmr_1e-2\"
    }" "$url/v1/verify" | jq --raw-output '"\(.decision) at \(.operating_point)"'
}

echo "with itself: $(compare "$one" "$one")"
echo "with the other: $(compare "$one" "$other")"

# A refusal is a problem document with a stable code, and never a decision.
echo "refused: $(ask "$url/v1/templates/$(printf 'A%.0s' {1..22})" | jq --raw-output .code)"

for template in "$one" "$other"; do ask --fail-with-body --request DELETE "$url/v1/templates/$template"; done
echo "erased: $(ask "$url/v1/templates/$one" | jq --raw-output .code)"
