package jwks

import (
	"context"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// rediscover is how long an address from metadata is used.
const rediscover = 24 * time.Hour

// NewIssuerRemote returns a Remote of an issuer's keys when their address is not known.
// The address is the jwks_uri of the issuer's metadata (RFC 8414, section 3). These
// documents are tried in turn, each with its share of the fetch's Timeout:
//
//   - RFC 8414 metadata, with the well-known path before the issuer's own path
//   - the OpenID Connect discovery document
//   - RFC 8414 metadata below the issuer's own path
//
// Metadata is fetched at first use, again after 24 h, and again after a failed fetch.
//
// issuer is the issuer identifier exactly as in the iss of tokens, without query or
// fragment. Metadata that names another issuer is refused (RFC 8414, section 3.3). The
// jwks_uri of an https issuer must be https too. It may be on another host.
//
// Like [NewRemote] it cannot fail: invalid arguments become the error of every [Remote.Key].
//
// Not checked: signed_metadata.
func NewIssuerRemote(issuer string, c RemoteConfig) *Remote {
	r := newRemote(issuer, c)
	if err := r.client.CheckIssuer(issuer); err != nil {
		r.refuse(fmt.Errorf("issuer: %w", err))
	}
	r.sendBearer(issuer, c)
	d := &discovery{issuer: issuer, client: r.client}
	r.locate, r.expire = d.locate, d.expire
	return r
}

// discovery finds the key set of an issuer. One goroutine uses it at a time.
type discovery struct {
	issuer string
	client *fetch.Client

	found string // the jwks_uri; "" before the metadata was fetched
	when  time.Time
}

// expire makes the next locate fetch the metadata: a set that could not be fetched
// may have moved.
func (d *discovery) expire() { d.found = "" }

func (d *discovery) locate(ctx context.Context) (string, error) {
	if d.found != "" && !reached(time.Now(), d.when.Add(rediscover)) {
		return d.found, nil
	}
	metadata, err := d.client.Metadata(ctx, d.issuer, "jwks_uri")
	if err != nil {
		return "", fmt.Errorf("finding the keys of %s: %w", d.issuer, err)
	}
	uri, err := metadata.Endpoint("jwks_uri")
	if err != nil {
		return "", err
	}
	d.found, d.when = uri, time.Now()
	return uri, nil
}
