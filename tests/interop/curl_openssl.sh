#!/usr/bin/env bash
# A signed call with curl, openssl and jq alone, with what `dfns-keys exec` gives. Key and token go through pipes: what is an
# argument, every user of the machine can read.
set -euo pipefail
body=${1:-'{"network":"EthereumSepolia","name":"Zoë — 日本"}'}
b64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
dfns() {
    local answer
    answer=$(curl --silent --show-error --fail-with-body -X "$1" "$DFNS_API_URL$2" -H 'content-type: application/json' \
        -H @<(printf 'authorization: Bearer %s' "$DFNS_AUTH_TOKEN") "${@:3}") || { echo "refused: $answer" >&2; return 1; }
    printf %s "$answer"
}
jq -n --arg body "$body" '{userActionPayload: $body, userActionHttpMethod: "POST", userActionHttpPath: "/wallets",
    userActionServerKind: "Api"}' | dfns POST /auth/action/init --data-binary @- >challenge.json
jq -cj --arg origin "$DFNS_ORIGIN" '{type: "key.get", challenge, origin: $origin, crossOrigin: false}' challenge.json >client-data.json
signature=$(openssl dgst -sha256 -sign <(printf %s "$DFNS_PRIVATE_KEY") client-data.json | b64url)
user_action=$(jq --arg id "$DFNS_CRED_ID" --arg data "$(b64url <client-data.json)" --arg signature "$signature" '{challengeIdentifier,
    firstFactor: {kind: "Key", credentialAssertion: {credId: $id, clientData: $data, signature: $signature}}}' challenge.json |
    dfns POST /auth/action --data-binary @- | jq -r .userAction)
dfns POST /wallets -H "x-dfns-useraction: $user_action" --data-binary "$body" | jq -r .id
