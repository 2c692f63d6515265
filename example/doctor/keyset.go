package doctor

import (
	"cmp"
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

const (
	largeSet    = 64 << 10 // bytes; other verifiers have bounds of this order
	manySeconds = 24 * 60 * 60
)

// keySet checks that the published keys can be fetched, read and cached.
func (c *check) keySet(ctx context.Context, m metadata) {
	address := c.JWKSURL
	if address == "" && m.document != nil {
		address, _, _ = m.document.String("jwks_uri")
	}
	if address == "" {
		if m.document != nil {
			c.add(Wrong, "keys", "The metadata names no jwks_uri.", "Is it an issuer's? Or set JWKS_URL.")
		} else {
			c.add(Unchecked, "keys", "Without metadata it is not known where the key set is.", "Get the metadata right first, or set JWKS_URL.")
		}
		return
	}
	a, err := c.get(ctx, address)
	if err != nil {
		c.add(Wrong, "keys", fmt.Sprintf("The key set %s cannot be fetched: %v.", address, err), "Have the proxy pass it on to the issuer.")
		return
	}
	if a.redirect != "" && a.status/100 == 3 {
		c.redirected(address, a)
	}
	// As an API does: within the same bounds.
	remote := jwks.NewRemote(address, jwks.RemoteConfig{Client: c.Client, InsecureHTTP: c.InsecureHTTP, Timeout: fetchTimeout, Quiet: true})
	defer remote.Close()
	bound, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	err = remote.Ready(bound)
	status := remote.Status()
	if err != nil {
		c.add(Wrong, "keys", fmt.Sprintf("No keys can be read from %s: %v.", address, err), "Have the proxy pass it on to the issuer, unchanged. Without keys an API answers 503.")
	} else {
		c.goodf("keys", "%s has %d %s.", address, status.Keys, plural(status.Keys, "key", "keys"))
	}
	for _, skipped := range status.Skipped {
		c.add(Notice, "keys", fmt.Sprintf("The key %q of the set cannot be used here: %v.", skipped.KeyID, skipped.Err), "Nothing, if the issuer signs no access tokens with it.")
	}
	if a.status == http.StatusOK {
		c.caching(a)
		c.format(a)
	}
}

func (c *check) redirected(address string, a *answer) {
	text := fmt.Sprintf("%s redirects to %s.", address, a.redirect)
	from, err1 := url.Parse(address)
	to, err2 := url.Parse(a.redirect)
	if err1 == nil && err2 == nil {
		if to = from.ResolveReference(to); to.Scheme == from.Scheme && to.Host == from.Host {
			c.add(Notice, "keys", text, "Name the address that it redirects to: some verifiers follow none.")
			return
		}
	}
	c.add(Wrong, "keys", text+" It is on another host, where it is not followed.", "Name the address that it redirects to, as jwks_uri or JWKS_URL.")
}

// caching reads Cache-Control as a cache does (RFC 9111, section 5.2.2).
func (c *check) caching(a *answer) {
	directives := map[string]string{}
	for part := range strings.SplitSeq(strings.ToLower(strings.Join(a.header.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		directives[name] = strings.Trim(value, `"`)
	}
	_, noStore := directives["no-store"]
	_, noCache := directives["no-cache"]
	text, stated := directives["max-age"]
	seconds, err := strconv.Atoi(text)
	policy := 0
	if c.Open != nil { // an API does not know the issuer's
		policy = int(cmp.Or(c.Policy.MaxAge, 5*time.Minute) / time.Second)
	}
	switch {
	case noStore || noCache || stated && err == nil && seconds <= 0:
		c.add(Wrong, "keys", fmt.Sprintf("The key set may not be cached (Cache-Control: %s), so many verifiers fetch it for each token.", a.header.Get("Cache-Control")),
			"Leave the header as the issuer sends it: remove the line of the proxy that replaces it.")
	case !stated || err != nil:
		c.add(Notice, "keys", "The key set does not say how long it may be cached (Cache-Control: max-age), so each verifier chooses a time.",
			"Leave the header as the issuer sends it, or have the proxy add max-age=300.")
	case policy > 0 && seconds > policy:
		c.add(Wrong, "keys", fmt.Sprintf("The key set may be cached for %d s, and Policy.MaxAge (KEY_MAX_AGE) is %d s: something in front lengthens it. A key that is dropped stays trusted for that long.", seconds, policy),
			"Leave the header as the issuer sends it.")
	case seconds > manySeconds:
		c.add(Notice, "keys", fmt.Sprintf("The key set may be cached for %d s: a key that is dropped stays trusted for that long.", seconds), "Shorten max-age to an hour or less.")
	default:
		c.goodf("keys", "The key set may be cached for %d s.", seconds)
	}
}

// format is about other verifiers: package jwks takes all of it.
func (c *check) format(a *answer) {
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "application/json" && kind != "application/jwk-set+json" {
		c.add(Notice, "keys", fmt.Sprintf("The key set has the type %q, which some verifiers refuse.", a.header.Get("Content-Type")), "Send it as application/jwk-set+json.")
	}
	if len(a.body) > largeSet {
		c.add(Notice, "keys", fmt.Sprintf("The key set has %d bytes. Some verifiers take less.", len(a.body)), "Publish fewer keys.")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
