#!/usr/bin/env bash
# curl --data-urlencode with a client id and secret of every VSCHAR (RFC 6749 Appendix A).
set -euo pipefail
: "${ISSUER:?}" "${CLIENT_ID:?}" "${CLIENT_SECRET:?}"
. "$(dirname "$0")/check.sh"

form=(-d grant_type=client_credentials --data-urlencode "client_id=$CLIENT_ID")
granted "special characters in the body" "${form[@]}" --data-urlencode "client_secret=$CLIENT_SECRET"
token=$(member access_token)
call "special characters: whoami" 200 "$ISSUER/v1/whoami" -H "Authorization: Bearer $token"
[[ $(member client_id) == "$CLIENT_ID" ]] || fail "special characters: whoami names another client"
ok "special characters: whoami names the client"
refused "special characters, one less" 401 invalid_client "${form[@]}" --data-urlencode "client_secret=${CLIENT_SECRET%?}"
