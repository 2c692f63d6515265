package service

import (
	"fmt"
	"io"
	"slices"
)

const gatewayHelp = `gateway guards two upstreams by a policy until Ctrl-C or SIGTERM. SIGHUP reads the files of the policies again.

There are no arguments. Settings are environment variables, all optional:

  ADDR                             where it listens; 127.0.0.1:8080
  ISSUER                           whose tokens it accepts; an issuer of its own, at ADDR
  JWKS_URL                         where the keys are; found by the issuer's metadata
  AUDIENCE                         its name in tokens; ISSUER + /v1
  UPSTREAM_ORDERS                  URL of the upstream for /orders and /orders/*; one of its own
  UPSTREAM_INVOICES                URL of the upstream for /invoices and /invoices/*; one of its own
  POLICY                           a file with the policy; GET needs orders:read or invoices:read, and other
                                   methods orders:write or invoices:write
  SHADOW                           a file with a policy that is reported and not enforced; none

JWKS_COOLDOWN, JWKS_MAX_STALE, SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT are as in the other examples. .github/docs/settings.md says more.
`

// GatewayHelp is Help of example/gateway, which has other settings and no -doctor.
func GatewayHelp(args []string, out io.Writer) (bool, error) {
	switch {
	case len(args) == 0:
		return false, nil
	case slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]):
		_, err := io.WriteString(out, gatewayHelp)
		return true, err
	}
	return false, fmt.Errorf("%q: the only argument is help; gateway help lists the settings", args[0])
}
