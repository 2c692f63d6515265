#!/usr/bin/env bash
# A token of the issuer at $ISSUER, taken to a resource server of its own process at $API.
set -euo pipefail
: "${ISSUER:?}" "${API:?}" "${CLIENT_ID:?}" "${CLIENT_SECRET:?}" "${CLIENT2_ID:?}" "${CLIENT2_SECRET:?}"
. "$(dirname "$0")/check.sh"

granted "token for another server" -d grant_type=client_credentials -u "$CLIENT_ID:$CLIENT_SECRET"
auth="Authorization: Bearer $(member access_token)"
json="Content-Type: application/json"
call "api: GET /v1/orders" 200 "$API/v1/orders" -H "$auth"
call "api: POST /v1/orders" 201 "$API/v1/orders" -H "$auth" -H "$json" -d '{"item":"tea","quantity":1}'
call "api: GET /v1/whoami" 200 "$API/v1/whoami" -H "$auth"
has "api: whoami names the client" body "\"client_id\": *\"$CLIENT_ID\""
call "api: no token, 401" 401 "$API/v1/orders"
call "api: garbage token, 401" 401 "$API/v1/orders" -H "${auth}x"

granted "token of the second client" -d grant_type=client_credentials -u "$CLIENT2_ID:$CLIENT2_SECRET"
call "api: second client may not write, 403" 403 "$API/v1/orders" -H "Authorization: Bearer $(member access_token)" \
  -H "$json" -d '{"item":"tea","quantity":1}'
has "api: insufficient_scope" head '^www-authenticate: Bearer.*error="insufficient_scope"'
