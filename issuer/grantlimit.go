package issuer

import (
	"errors"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/echo-m2m/m2m/jwks/event"
)

// grantLimit limits the tokens of each client, so that one client cannot take all
// signing. A nil grantLimit limits nothing.
type grantLimit struct {
	perSecond int
	clients   *bounded[*rate.Limiter]
}

const (
	grantBurst = 2                // seconds' worth
	bucketKept = 10 * time.Minute // a bucket is full long before
)

var errTooManyGrants = errors.New("issuer: the client has requested more tokens per second than Config.MaxGrantRate")

func newGrantLimit(perSecond int) *grantLimit {
	return &grantLimit{perSecond, newBounded[*rate.Limiter](maxCached, bucketKept)}
}

// take takes one token from the client's bucket.
func (g *grantLimit) take(clientID string) *Error {
	if g == nil {
		return nil
	}
	bucket, ok := g.clients.get(clientID)
	if !ok {
		bucket = g.clients.getOrSet(clientID, func() *rate.Limiter { return rate.NewLimiter(rate.Limit(g.perSecond), grantBurst*g.perSecond) })
	}
	if bucket.Allow() {
		return nil
	}
	return &Error{
		Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: "too many tokens for this client, try again in a moment",
		RetryAfter: 1, reason: event.TooManyGrants, cause: errTooManyGrants,
	}
}

func (g *grantLimit) sweep() {
	if g != nil {
		g.clients.sweep()
	}
}
