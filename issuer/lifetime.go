package issuer

import (
	"math/rand/v2"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// lifetimeSpread is the most that a lifetime is shortened by: a twentieth of it. Clients
// that were started together then do not ask for their next tokens together.
const lifetimeSpread = 20

// lifetime returns how many seconds a new token of the client is valid.
func (i *Issuer) lifetime(client *registry.Client) int64 {
	ttl := i.ttl
	if client.TokenTTL > 0 {
		ttl = min(client.TokenTTL, i.maxTTL)
	}
	seconds := int64(ttl / time.Second)
	if i.exactTTL {
		return seconds
	}
	return seconds - rand.N(seconds/lifetimeSpread+1) //nolint:gosec // it spreads load, and protects nothing
}
