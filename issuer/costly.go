package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// costlyChecks runs the checks of signatures that take milliseconds of a core: those of the
// curves P-384 and P-521, of large RSA keys, and of a chain of certificates. A caller
// chooses them before it has authenticated. So few run at once, and few wait, in lines by
// network. A flood of forged ones cannot take all cores. The nil costlyChecks limits nothing.
type costlyChecks struct{ queue *fairQueue }

const (
	costlyWaiters = 512
	costlyLine    = 64 // waiters of one network
	costlyTimeout = 5 * time.Second
)

var errCostlyBusy = errors.New("issuer: too many signatures of P-384, P-521 or RSA of more than 4096 bits, or chains of certificates, are being checked: clients with ES256, EdDSA or PS256 do not wait")

func newCostlyChecks() *costlyChecks {
	return &costlyChecks{newFairQueue(slowWorkers(), costlyLine, costlyWaiters)}
}

// isCostly reports whether a signature check with the key costs much more than one of ES256:
// ten times as much with P-384, and thirty times as much with P-521 or 8192 bits of RSA.
func isCostly(key *jose.Key) bool {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		return public.Curve != elliptic.P256()
	case *rsa.PublicKey:
		return public.N.BitLen() > 4096 || public.E > 1<<16+1
	}
	return false
}

// run runs a check when it is its turn. With an error it has not run.
func (c *costlyChecks) run(ctx context.Context, network string, check func()) *Error {
	if c == nil {
		check()
		return nil
	}
	bound, cancel := context.WithTimeoutCause(ctx, costlyTimeout, errCostlyBusy)
	defer cancel()
	switch err := c.queue.acquire(bound, network, false); {
	case errors.Is(err, errQueueFull):
		return unavailable(event.Busy, errCostlyBusy)
	case err != nil:
		return unavailable(event.Busy, err)
	}
	defer c.queue.release()
	check()
	return nil
}
