package service

import (
	"fmt"
	"io"
)

const help = `%s takes no arguments. Its settings are environment variables, all optional but for
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
  KEY_ALGORITHM, KEY_ROTATE_EVERY, KEY_ANNOUNCE, KEY_RETAIN, KEY_MAX_AGE
  JWKS_URL, JWKS_COOLDOWN, JWKS_MAX_STALE
                                   of the API: where keys are
  INTROSPECTION_URL, INTROSPECTION_ID, INTROSPECTION_SECRET, INTROSPECTION_CACHE
                                   of the API: whom to ask about revoked tokens

SIGUSR1 to an issuer drops its signing key. SIGUSR2 writes the keys of the process over those of another
keyring in the key store. .github/docs/settings.md says more. Clients are managed with ./example/clients.
`

// Help reports whether the arguments ask for help, and then writes the settings. All
// other arguments are an error: a program that takes none must not start a server for
// a mistyped command.
func Help(program string, args []string, out io.Writer) (bool, error) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		_, err := fmt.Fprintf(out, help, program)
		return true, err
	}
	return false, fmt.Errorf("%q: no arguments are taken; %s help lists the settings", args[0], program)
}
