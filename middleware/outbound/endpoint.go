package outbound

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	rediscover    = 24 * time.Hour   // how long a token endpoint from metadata is used
	rediscoverGap = 10 * time.Second // the least time between failed fetches of metadata while an endpoint is known
)

// discovery finds the token endpoint in the issuer's metadata. The latest endpoint is used
// until the metadata names another one, also while the metadata cannot be fetched.
type discovery struct {
	client *fetch.Client
	issuer string
	mutual bool // a certificate is shown

	inside atomic.Bool // the issuer was at an address inside the network when it named the endpoint

	mu    sync.Mutex
	found string    // the token endpoint, once it is known
	due   time.Time // when the metadata is fetched again
	after time.Time // and not before
}

// endpoint returns the token endpoint. While one is known, metadata has at most half of
// the time that ctx leaves, so that the token request has the other half.
func (d *discovery) endpoint(ctx context.Context) (string, error) {
	d.mu.Lock()
	found, now := d.found, time.Now()
	fresh := now.Before(d.due) || now.Before(d.after)
	d.mu.Unlock()
	if found != "" {
		if fresh {
			return found, nil
		}
		if end, ok := ctx.Deadline(); ok {
			part, cancel := context.WithTimeout(ctx, time.Until(end)/2)
			defer cancel()
			ctx = part
		}
	}
	latest, err := d.poll(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	now = time.Now()
	if err == nil {
		d.found, d.due, d.after = latest, now.Add(rediscover), time.Time{}
		return latest, nil
	}
	d.after = now.Add(max(rediscoverGap, metadataRetryAfter(err)))
	if d.found != "" {
		return d.found, nil
	}
	return "", err
}

func (d *discovery) poll(ctx context.Context) (string, error) {
	traced, inside := withPeers(ctx)
	metadata, err := d.client.Metadata(traced, d.issuer, "token_endpoint")
	if err != nil {
		return "", err
	}
	d.inside.Store(inside())
	if !d.mutual {
		return metadata.Endpoint("token_endpoint")
	}
	if alias, ok := mutualEndpoint(metadata); ok {
		metadata = alias
	}
	endpoint, err := metadata.Endpoint("token_endpoint")
	if err == nil && isPlain(endpoint) {
		return "", fmt.Errorf("outbound: Config.Certificate is shown over https only, and the metadata of %.200q names no such token endpoint in mtls_endpoint_aliases", d.issuer)
	}
	return endpoint, err
}

// mutualEndpoint returns the metadata of the endpoints for clients that show a certificate
// (RFC 8705, section 5), if a token endpoint is one of them.
func mutualEndpoint(metadata *fetch.Metadata) (*fetch.Metadata, bool) {
	raw, ok := metadata.Object.Raw("mtls_endpoint_aliases")
	if !ok {
		return nil, false
	}
	aliases, err := jose.ParseObject(string(raw))
	if err != nil || !aliases.Has("token_endpoint") {
		return nil, false
	}
	alias := *metadata
	alias.Object = aliases
	return &alias, true
}

// expire makes the next fetch read the metadata again: the endpoint may have moved.
func (d *discovery) expire(endpoint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found == endpoint {
		d.due = time.Time{}
	}
}

// known returns the latest token endpoint, or "".
func (d *discovery) known() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found
}

// metadataRetryAfter returns the longest Retry-After in an error of Client.Metadata, which
// joins those of several addresses, at most maxRetryAfter.
func metadataRetryAfter(err error) (longest time.Duration) {
	if status, ok := err.(*fetch.StatusError); ok { //nolint:errorlint // the tree is walked below
		return min(max(status.RetryAfter, 0), maxRetryAfter)
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			longest = max(longest, metadataRetryAfter(cause))
		}
	case interface{ Unwrap() error }:
		longest = metadataRetryAfter(errors.Unwrap(err))
	}
	return longest
}
