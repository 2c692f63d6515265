#!/usr/bin/env bash
# curl: the session of the README, then every way to be refused.
set -euo pipefail
: "${ISSUER:?}" "${CLIENT_ID:?}" "${CLIENT_SECRET:?}" "${CLIENT2_ID:?}" "${CLIENT2_SECRET:?}"
. "$(dirname "$0")/check.sh"

# The tutorial, word for word.
curl -sS -X POST "$ISSUER/token" -H "Content-Type: application/x-www-form-urlencoded" \
  -d "client_id=$CLIENT_ID&client_secret=$CLIENT_SECRET&grant_type=client_credentials" >"$dir/body"
token=$(member access_token)
[[ -n $token ]] || fail "the tutorial's curl got no token"
ok "tutorial: POST /token gives ${token:0:12}…"
call "tutorial: the token opens GET /v1/orders" 200 "$ISSUER/v1/orders" -H "Authorization: Bearer $token"
call "POST /v1/orders creates" 201 "$ISSUER/v1/orders" -H "Authorization: Bearer $token" \
  -H "Content-Type: application/json" -d '{"item":"tea","quantity":1}'
call "no token: 401" 401 "$ISSUER/v1/orders"
has "no token: a bare Bearer challenge" head '^www-authenticate: Bearer'
lacks "no token: no error code (RFC 6750, section 3.1)" head 'error='
call "garbage token: 401" 401 "$ISSUER/v1/orders" -H "Authorization: Bearer ${token}x"
has "garbage token: invalid_token" head '^www-authenticate: Bearer.*error="invalid_token"'
call "no token, unknown path: 404" 404 "$ISSUER/v1/nowhere"

# Granted: what a token answer holds (RFC 6749, section 5.1).
form=(-d grant_type=client_credentials)
post=(-d "client_id=$CLIENT_ID" -d "client_secret=$CLIENT_SECRET")
basic=(-u "$CLIENT_ID:$CLIENT_SECRET")
granted "client_secret_post" "${form[@]}" "${post[@]}"
has "token_type is Bearer" body '"token_type": *"Bearer"'
has "expires_in is a number" body '"expires_in": *[1-9][0-9]*'
has "scope is stated, all the client may have" body '"scope": *"orders:read orders:write"'
granted "client_secret_basic (curl -u)" "${form[@]}" "${basic[@]}"
granted "a scope asked for" "${form[@]}" "${basic[@]}" -d scope=orders:read
has "only the scope asked for" body '"scope": *"orders:read"'

# Refused (RFC 6749, section 5.2).
refused "wrong secret" 401 invalid_client "${form[@]}" -d "client_id=$CLIENT_ID" -d client_secret=wrong
keep
refused "unknown client" 401 invalid_client "${form[@]}" -d client_id=nobody -d "client_secret=$CLIENT_SECRET"
same "unknown client and wrong secret: one answer"
refused "wrong secret, Basic" 401 invalid_client "${form[@]}" -u "$CLIENT_ID:wrong"
has "wrong secret, Basic: challenge" head '^www-authenticate: Basic'
keep
refused "unknown client, Basic" 401 invalid_client "${form[@]}" -u "nobody:$CLIENT_SECRET"
same "unknown client and wrong secret, Basic: one answer"
refused "no credentials" 401 invalid_client "${form[@]}"
refused "grant_type=password" 400 unsupported_grant_type -d grant_type=password "${post[@]}"
refused "no grant_type" 400 invalid_request "${post[@]}"
refused "grant_type twice" 400 invalid_request "${form[@]}" "${form[@]}" "${post[@]}"
refused "two ways to authenticate" 400 invalid_request "${form[@]}" "${post[@]}" "${basic[@]}"
refused "a scope not allowed" 400 invalid_scope "${form[@]}" "${basic[@]}" -d scope=admin
refused "a resource unknown" 400 invalid_target "${form[@]}" "${basic[@]}" -d resource=https://other.example
refused "JSON body" 400 invalid_request -H "Content-Type: application/json" \
  -d "{\"grant_type\":\"client_credentials\",\"client_id\":\"$CLIENT_ID\",\"client_secret\":\"$CLIENT_SECRET\"}"
TOKEN_QUERY="?client_id=$CLIENT_ID&client_secret=$CLIENT_SECRET" \
  refused "secret in the URL query" 400 invalid_request "${form[@]}"
call "GET /token: 405" 405 "$ISSUER/token"
has "GET /token: Allow" head '^allow: .*POST'
has "GET /token: no-store" head '^cache-control: no-store'

# The second client may only read.
granted "second client" "${form[@]}" -u "$CLIENT2_ID:$CLIENT2_SECRET"
token=$(member access_token)
call "second client reads" 200 "$ISSUER/v1/orders" -H "Authorization: Bearer $token"
call "second client may not write: 403" 403 "$ISSUER/v1/orders" -H "Authorization: Bearer $token" \
  -H "Content-Type: application/json" -d '{"item":"tea","quantity":1}'
has "insufficient_scope names the scope" head '^www-authenticate: Bearer.*error="insufficient_scope".*scope="orders:write"'

# Key set and metadata.
call "JWKS" 200 "$ISSUER/.well-known/jwks.json"
has "JWKS: application/jwk-set+json" head '^content-type: application/jwk-set\+json'
has "JWKS: may be kept for a while" head '^cache-control: .*max-age=[1-9]'
lacks "JWKS: no private member" body '"(d|p|q|dp|dq|qi|k)" *:'
call "JWKS: 304 for a known ETag" 304 "$ISSUER/.well-known/jwks.json" \
  -H "If-None-Match: $(sed -n 's/^etag: *\(.*\)\r$/\1/Ip' "$dir/head")"
call "RFC 8414 metadata" 200 "$ISSUER/.well-known/oauth-authorization-server"
[[ $(member issuer) == "$ISSUER" ]] || fail "metadata names another issuer"
ok "metadata names the issuer"
