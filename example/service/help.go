package service

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
)

// Main is the main of a program: it serves, or checks the configuration for
// -doctor, or prints help. doctor returns the exit status.
func Main(program string, serve func(context.Context) error, doctor func(ctx context.Context, out io.Writer) int) {
	ctx := context.Background()
	if len(os.Args) == 2 && (os.Args[1] == "-doctor" || os.Args[1] == "--doctor") {
		os.Exit(doctor(ctx, os.Stdout))
	}
	helped, err := Help(program, os.Args[1:], os.Stdout)
	if err == nil && !helped {
		err = serve(ctx)
	}
	if err != nil {
		log.Fatal(program, ": ", err)
	}
}

const help = `%[1]s serves until Ctrl-C or SIGTERM.
%[1]s -doctor checks the configuration instead. It serves nothing and changes nothing. Exit status:
0 all is well, 1 something is wrong, 2 something could not be checked.

There are no other arguments. Settings are environment variables, all optional but for
KEY_ENCRYPTION_KEY beside DATABASE_URL:

  ADDR, ISSUER, AUDIENCE           where it listens; its URL, which tokens name; the API's name in tokens
  DATA_DIR                         SQLite database and signing keys; ./data
  DATABASE_URL                     PostgreSQL instead, for signing keys too
  KEY_ENCRYPTION_KEY               seals the signing keys there: openssl rand -hex 32
  ISSUER_NAME, NO_MIGRATE          one of several issuers in a database; 1 changes no tables: clients migrate does
  SHUTDOWN_DELAY, SHUTDOWN_TIMEOUT after SIGTERM
  CLIENT_ID, CLIENT_SECRET, CLIENT2_ID, CLIENT2_SECRET, CLIENTS
                                   clients to make; CLIENTS is a path
  TOKEN_TTL, FAILED_ATTEMPTS, MAX_GRANT_RATE
  TRUSTED_PROXIES                  whose X-Forwarded-For is believed; none
  TLS_ADDR, TLS_CERT, TLS_KEY      a second listener, with TLS, which asks clients for a certificate
  TLS_CLIENT_CA, TLS_URL           who issues these for tls_client_auth; where clients reach it
  TRUSTED_PROXY                    proxies whose Client-Cert header counts
  API_URL                          where clients reach the API, which DPoP proofs name
  DPOP_NONCES, DPOP_NONCE_SECRET   required, optional or off; 64 hex digits that replicas share
  KEY_ALGORITHM, KEY_ROTATE_EVERY, KEY_ANNOUNCE, KEY_RETAIN, KEY_MAX_AGE
  JWKS_URL, JWKS_COOLDOWN, JWKS_MAX_STALE
                                   of the API: where keys are
  INTROSPECTION_URL, INTROSPECTION_ID, INTROSPECTION_SECRET, INTROSPECTION_CACHE
                                   of the API: where to ask whether a token was revoked

SIGUSR1 makes an issuer drop its signing key. SIGUSR2 makes it write its keys over those of another keyring
in the key store. .github/docs/settings.md says more. Manage clients with ./example/clients.
`

// Help reports whether the arguments ask for help, and then writes the settings. Any
// other argument is an error, so that a mistyped command starts no server.
func Help(program string, args []string, out io.Writer) (bool, error) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		_, err := fmt.Fprintf(out, help, program)
		return true, err
	}
	return false, fmt.Errorf("%q: the only arguments are -doctor and help; %s help lists the settings", args[0], program)
}
