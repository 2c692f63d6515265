package jwks

import (
	"context"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// rediscover is how long an address from an issuer's metadata is used.
const rediscover = 24 * time.Hour

// NewIssuerRemote makes a Remote of an issuer's keys when their address is not
// known. The address is the jwks_uri of the issuer's metadata (RFC 8414, section 3,
// whose well-known path goes before the issuer's own path), or else of its OpenID
// Connect discovery document, or else of RFC 8414 metadata below the issuer's own
// path. One of these that does not answer leaves time for the next. The metadata is
// fetched at the first use, again after 24 h, and again after a failed fetch, each
// time within the fetch's Timeout.
//
// issuer is the issuer identifier exactly as tokens have it in iss, without query
// or fragment. Metadata that names another issuer is not used (RFC 8414, section
// 3.3). An https issuer's jwks_uri must be https too. It may be on another host.
//
// Like NewRemote it cannot fail: what is wrong with its arguments is the error of
// every [Remote.Key].
//
// Not checked: signed_metadata.
func NewIssuerRemote(issuer string, c RemoteConfig) *Remote {
	r := newRemote(issuer, c)
	if err := r.client.CheckIssuer(issuer); err != nil {
		r.refuse(fmt.Errorf("issuer: %w", err))
	}
	d := &discovery{issuer: issuer, client: r.client}
	r.locate, r.forget = d.locate, d.forget
	return r
}

// discovery finds the key set of an issuer. One goroutine uses it at a time.
type discovery struct {
	issuer string
	client *fetch.Client

	found string // jwks_uri, "" when it is to be fetched
	when  time.Time
}

// forget makes the next locate fetch the metadata: a set that cannot be fetched may
// have moved.
func (d *discovery) forget() { d.found = "" }

func (d *discovery) locate(ctx context.Context) (string, error) {
	if d.found != "" && !reached(time.Now(), d.when.Add(rediscover)) {
		return d.found, nil
	}
	metadata, err := d.client.Metadata(ctx, d.issuer, "jwks_uri")
	if err != nil {
		return "", fmt.Errorf("looking for the keys of %s: %w", d.issuer, err)
	}
	uri, err := metadata.Endpoint("jwks_uri")
	if err != nil {
		return "", err
	}
	d.found, d.when = uri, time.Now()
	return uri, nil
}
