package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

// TestRowsCanFail puts each fault to a client of package outbound that is broken on purpose.
// Then the fault has to be found.
func TestRowsCanFail(t *testing.T) {
	t.Parallel()
	broken := []struct {
		number string
		what   string
		open   func(ctx context.Context, s setup) (*caller, error)
	}{
		{"1", "each call has a Source of its own", sourcePerCall},
		{"2", "fetches need the context of construction", func(ctx context.Context, s setup) (*caller, error) {
			config := s.config()
			config.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				return http.DefaultTransport.RoundTrip(r.WithContext(ctx))
			})}
			config.Timeout = 100 * time.Millisecond // no call waits for another try
			return openOutbound(ctx, config)
		}},
		{"3", "each hop gets the token", tokenOnly},
		{"3", "token requests follow redirects", func(ctx context.Context, s setup) (*caller, error) {
			config := s.config()
			config.Method = "client_secret_post"
			config.HTTP = &http.Client{Transport: roundTripper((&http.Client{}).Do)}
			return openOutbound(ctx, config)
		}},
		{"4", "a 401 changes nothing", tokenOnly},
		{"5", "each call has a Source of its own", sourcePerCall},
		{"6", "each call has a Source of its own", sourcePerCall},
		{"7", "a lifetime is made up", answering("expires_in", 1e9)},
		{"8", "the call's context is not used", func(ctx context.Context, s setup) (*caller, error) {
			c, err := openOutbound(ctx, s.config())
			if err != nil {
				return nil, err
			}
			base := c.client.Transport
			c.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				return base.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
			})
			return c, nil
		}},
		{"9", "the type is not read", answering("token_type", "Bearer")},
		{"10", "refreshes begin at a fixed age", refreshAt5s},
		{"10", "a call waits for the refresh", refreshAt5s},
		{"10", "the secret is read once", func(ctx context.Context, s setup) (*caller, error) {
			secret, err := os.ReadFile(s.secretFile)
			if err != nil {
				return nil, err
			}
			config := s.config()
			config.Secret = outbound.Secret(string(secret))
			return openOutbound(ctx, config)
		}},
	}
	if len(broken) != len(faults) {
		t.Fatalf("%d broken clients for %d rows", len(broken), len(faults))
	}
	for i, b := range broken {
		f := faults[i]
		t.Run(fmt.Sprintf("%s %s", f.number, b.what), func(t *testing.T) {
			t.Parallel()
			if b.number != f.number {
				t.Fatalf("the client is broken for fault %s", b.number)
			}
			found, err := put(t.Context(), f, library{b.what, b.open})
			if err != nil || !found.fault {
				t.Errorf("%s: %q is no fault, error %v", f.event, found.text, err)
			}
		})
	}
}

type roundTripper func(r *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// sourcePerCall has no token, no flight and no backoff in common with other calls.
func sourcePerCall(ctx context.Context, s setup) (*caller, error) {
	return &caller{
		client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			c, err := openOutbound(ctx, s.config())
			if err != nil {
				return nil, err
			}
			defer c.close()
			return c.client.Transport.RoundTrip(r)
		})},
		close: func() {},
	}, nil
}

// tokenOnly gets tokens of a Source, and adds them as x/oauth2 does.
func tokenOnly(_ context.Context, s setup) (*caller, error) {
	source, err := outbound.New(s.config())
	if err != nil {
		return nil, err
	}
	return &caller{
		client: &http.Client{Transport: &oauth2.Transport{Source: source.OAuth2()}},
		close:  func() { _ = source.Close() },
	}, nil
}

// answering returns a way to open a client that reads another value of one member.
func answering(member string, value any) func(ctx context.Context, s setup) (*caller, error) {
	return func(ctx context.Context, s setup) (*caller, error) {
		config := s.config()
		config.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil || r.Method != http.MethodPost {
				return res, err
			}
			defer res.Body.Close()
			members := map[string]any{}
			if err := json.NewDecoder(res.Body).Decode(&members); err != nil {
				return nil, err
			}
			members[member] = value
			body, err := json.Marshal(members)
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			return res, err
		})}
		return openOutbound(ctx, config)
	}
}

// refreshAt5s fetches another token when a call finds the one in hand 5 s old.
func refreshAt5s(ctx context.Context, s setup) (*caller, error) {
	var mu sync.Mutex
	var current *caller
	var since time.Time
	return &caller{
		client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if current == nil || time.Since(since) > 5*time.Second {
				next, err := answering("expires_in", 60)(ctx, s) // it does not refresh by itself
				if err != nil {
					return nil, err
				}
				if current != nil {
					current.close()
				}
				current, since = next, time.Now()
			}
			return current.client.Transport.RoundTrip(r)
		})},
		close: func() {
			mu.Lock()
			defer mu.Unlock()
			if current != nil {
				current.close()
			}
		},
	}, nil
}
