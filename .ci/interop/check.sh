# shellcheck shell=bash
# Sourced by the curl*.sh clients: one `ok <what>` line a check, exit 1 at the first mismatch.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

ok() { echo "ok curl: $1"; }

fail() {
  echo "FAIL curl: $1"
  head -c 2000 "$dir/head" "$dir/body" 2>/dev/null || true
  exit 1
} >&2

# call WHAT STATUS CURL-ARGUMENTS…: the answer is left in $dir/head and $dir/body.
call() {
  local what=$1 want=$2 got
  shift 2
  got=$(curl -sS --max-time 10 -D "$dir/head" -o "$dir/body" -w '%{http_code}' "$@") || fail "$what: no answer"
  [[ $got == "$want" ]] || fail "$what: status $got, want $want"
  ok "$what"
}

has() { grep -Eiq "$3" "$dir/$2" || fail "$1: no $3 in $2"; ok "$1"; }
lacks() { ! grep -Eiq "$3" "$dir/$2" || fail "$1: $3 in $2"; ok "$1"; }

# member NAME: the string member NAME of the JSON body.
member() { /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1], ""))' "$1" <"$dir/body"; }

# granted WHAT CURL-ARGUMENTS…: the token endpoint grants.
granted() {
  local what=$1
  shift
  call "$what: 200" 200 "$ISSUER/token" "$@"
  has "$what: no-store" head '^cache-control: no-store'
  has "$what: JSON" head '^content-type: application/json'
  has "$what: a token" body '"access_token": *"[^"]+\.[^"]+\.[^"]+"'
}

# refused WHAT STATUS ERROR CURL-ARGUMENTS…: the token endpoint refuses, with an RFC 6749, section 5.2 error.
refused() {
  local what=$1 status=$2 error=$3
  shift 3
  call "$what: $status" "$status" "$ISSUER/token${TOKEN_QUERY:-}" "$@"
  has "$what: no-store" head '^cache-control: no-store'
  has "$what: JSON" head '^content-type: application/json'
  has "$what: $error" body "\"error\": *\"$error\""
  lacks "$what: no token" body '"access_token"'
}

# keep, then same WHAT: two answers equal in status, headers (but Date) and body.
keep() { grep -iv '^date:' "$dir/head" | cat - "$dir/body" >"$dir/kept"; }
same() {
  grep -iv '^date:' "$dir/head" | cat - "$dir/body" | diff "$dir/kept" - || fail "$1: they differ"
  ok "$1"
}
