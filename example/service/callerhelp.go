package service

import (
	"fmt"
	"io"
	"slices"
)

const callerHelp = `caller calls an API with tokens until FOR is over, Ctrl-C or SIGTERM. It prints what it does, and at the end
its counts as one line of JSON. A call has failed if nothing answers for a minute, or until the end of a run in
which no call succeeded. Exit status: 0 no call failed, 1 a call failed or a setting is wrong.

There are no arguments. Settings are environment variables. CLIENT_ID and a secret are required:

  CLIENT_ID                        the client, as the issuer printed it
  CLIENT_SECRET                    its secret, or:
  CLIENT_SECRET_FILE               a file with it, read for each token: a rotated secret is used
  ISSUER                           the issuer's URL; http://127.0.0.1:8080
  API                              the URL to call; ISSUER + /v1/whoami
  SCOPE                            scopes to ask for, with spaces between; the issuer decides
  RESOURCE                         what tokens are for (RFC 8707); the issuer decides
  EVERY                            time between calls; 1s
  FOR                              when to end; not before Ctrl-C
`

// CallerHelp is Help of example/caller, which has other settings and no -doctor.
func CallerHelp(args []string, out io.Writer) (bool, error) {
	switch {
	case len(args) == 0:
		return false, nil
	case slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]):
		_, err := io.WriteString(out, callerHelp)
		return true, err
	}
	return false, fmt.Errorf("%q: the only argument is help; caller help lists the settings", args[0])
}
