#!/usr/bin/env bash
# curl with a client certificate: a token of the issuer, and a call of the API that takes bound tokens alone.
set -euo pipefail
: "${ISSUER_TLS:?}" "${API:?}" "${API_TLS:?}" "${KEYS:?}"
. "$(dirname "$0")/check.sh"
ISSUER=$ISSUER_TLS

for pair in certificate:other selfsigned:unknown; do
  name=${pair%:*} wrong=${pair#*:}
  own=(--cacert "$KEYS/ca.pem" --cert "$KEYS/$name.pem" --key "$KEYS/$name.key")
  others=(--cacert "$KEYS/ca.pem" --cert "$KEYS/$wrong.pem" --key "$KEYS/$wrong.key")
  form=(-d grant_type=client_credentials -d "client_id=$name")
  granted "$name" "${own[@]}" "${form[@]}"
  bearer=(-H "Authorization: Bearer $(member access_token)")
  call "$name: GET /v1/bound" 200 "$API_TLS/v1/bound" "${own[@]}" "${bearer[@]}"
  call "$name: GET /v1/bound of the issuer's process" 200 "$ISSUER/v1/bound" "${own[@]}" "${bearer[@]}"
  call "$name: GET /v1/bound with another certificate" 401 "$API_TLS/v1/bound" "${others[@]}" "${bearer[@]}"
  has "$name: invalid_token" head '^www-authenticate: Bearer.*error="invalid_token"'
  call "$name: GET /v1/bound without a certificate" 401 "$API_TLS/v1/bound" --cacert "$KEYS/ca.pem" "${bearer[@]}"
  call "$name: GET /v1/orders without TLS" 401 "$API/v1/orders" "${bearer[@]}"
  refused "$name: another certificate" 401 invalid_client "${others[@]}" "${form[@]}"
  refused "$name: no certificate" 401 invalid_client --cacert "$KEYS/ca.pem" "${form[@]}"
done
