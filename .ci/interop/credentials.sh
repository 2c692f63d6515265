#!/usr/bin/env bash
# credentials.sh FOLDER: makes the keys and certificates of one run there: ca.pem, and KEY.key with KEY.pem for the server
# and for each client.
set -euo pipefail
cd "$1"
umask 077

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

# issued NAME SUBJECT EXTENSIONS: a certificate of our CA.
issued() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile <(echo "$3") -out "$1.pem"
}

# selfsigned NAME SUBJECT
selfsigned() {
  key "$1"
  openssl req -x509 -key "$1.key" -subj "$2" -days 1 -out "$1.pem"
}

selfsigned ca "/CN=interop CA"
issued server "/CN=interop" "subjectAltName=IP:127.0.0.1"
issued certificate "/O=Example/CN=certificate" "extendedKeyUsage=clientAuth"
issued other "/O=Example/CN=other" "extendedKeyUsage=clientAuth"
selfsigned selfsigned "/CN=selfsigned"
selfsigned unknown "/CN=selfsigned"
key client
openssl pkey -in client.key -pubout -out client.pub
