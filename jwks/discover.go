package jwks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// rediscover is how long an address found in an issuer's metadata is taken for
// granted.
const rediscover = 24 * time.Hour

// Discover is [NewRemote] for whoever knows the issuer and not where its keys
// are: the address is the jwks_uri of the issuer's metadata (RFC 8414 §3, whose
// well-known path goes before the issuer's own path), or else of its OpenID
// Connect discovery document. It is looked up at the first use, again after 24 h,
// and again after a failed fetch, each time within the fetch's Timeout.
//
// issuer is the issuer identifier exactly as tokens have it in iss, without
// query or fragment; metadata that names another issuer is not used (RFC 8414
// §3.3). An https issuer's jwks_uri must be https too; it may be on another
// host. Nothing else in the metadata is read, and signed_metadata is not
// checked.
//
// Like NewRemote it cannot fail: what is wrong with its arguments is the error
// of every [Remote.Key].
func Discover(issuer string, c RemoteConfig) *Remote {
	r := newRemote(c)
	u, err := checkURL(issuer, c.InsecureHTTP)
	if err == nil && strings.ContainsAny(issuer, "?#") { // RFC 8414 §2
		err = fmt.Errorf("%q has a query or a fragment: write it without", issuer)
	}
	if err != nil {
		r.refuse(fmt.Errorf("issuer: %w", err))
		return r
	}
	d := &discovery{issuer: issuer, at: u, insecure: c.InsecureHTTP, client: r.client}
	r.locate, r.forget = d.locate, d.forget
	return r
}

// discovery finds the key set of an issuer. One goroutine uses it at a time.
type discovery struct {
	issuer   string
	at       *url.URL // issuer, parsed
	insecure bool
	client   *http.Client

	found string // jwks_uri, "" when it is to be looked up
	when  time.Time
}

// forget makes the next locate look again: a set that cannot be fetched may
// have moved.
func (d *discovery) forget() { d.found = "" }

func (d *discovery) locate(ctx context.Context) (string, error) {
	if d.found != "" && time.Since(d.when) < rediscover {
		return d.found, nil
	}
	// Servers answer for a document they don't have in many ways (404, 403, 401,
	// 200 with a web page), so whatever is not this issuer's metadata leads to
	// the second form.
	path := strings.TrimSuffix(d.at.EscapedPath(), "/")
	origin := d.at.Scheme + "://" + d.at.Host
	uri, err := d.ask(ctx, origin+"/.well-known/oauth-authorization-server"+path) // RFC 8414 §3.1
	if err != nil && ctx.Err() == nil {
		var second error
		if uri, second = d.ask(ctx, origin+path+"/.well-known/openid-configuration"); second != nil { // OpenID Connect Discovery 1.0 §4
			err = fmt.Errorf("%w; %w", err, second)
		} else {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("looking for the keys of %s: %w", d.issuer, err)
	}
	d.found, d.when = uri, time.Now()
	return uri, nil
}

// ask reads jwks_uri from one metadata document.
func (d *discovery) ask(ctx context.Context, address string) (string, error) {
	doc, err := getDocument(ctx, d.client, address, "", false)
	if err != nil {
		return "", err
	}
	metadata, err := jose.ParseObject(string(doc.body))
	if err != nil {
		return "", fmt.Errorf("%s is not issuer metadata: %w", address, err)
	}
	// RFC 8414 §3.3: compared as they are written, or a host could speak for another.
	if issuer, _, err := metadata.String("issuer"); err != nil || issuer != d.issuer {
		return "", fmt.Errorf("%s is the metadata of issuer %.200q, not of %q", address, issuer, d.issuer)
	}
	uri, _, err := metadata.String("jwks_uri")
	if err != nil || uri == "" {
		return "", fmt.Errorf("%s has no jwks_uri", address)
	}
	u, err := checkURL(uri, d.insecure)
	if err != nil {
		return "", fmt.Errorf("jwks_uri in %s: %w", address, err)
	}
	if d.at.Scheme == "https" && u.Scheme != "https" { // not even to our own loopback
		return "", errors.New("jwks_uri in " + address + " is not https, as the issuer is")
	}
	return uri, nil
}
