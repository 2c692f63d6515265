package issuertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// Guards, servers and callers may be closed before their issuer or after it.
func TestEndInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, issuerFirst := range []bool{true, false} {
		t.Run(map[bool]string{true: "issuer first", false: "issuer last"}[issuerFirst], func(t *testing.T) {
			t.Parallel()
			var auth *bearer.Bearer
			var calls *outbound.Source
			var api *httptest.Server
			end := func() {
				api.Close()
				_ = calls.Close()
				_ = auth.Close()
			}
			if issuerFirst { // cleanups run in the reverse order
				t.Cleanup(func() { end() })
			}
			i := New(t)
			if !issuerFirst {
				t.Cleanup(func() { end() })
			}
			var err error
			if auth, err = bearer.New(i.Remote(t, "https://api.example.com")); err != nil {
				t.Fatal(err)
			}
			api = httptest.NewServer(auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			calls, err = outbound.New(outbound.Config{
				Issuer: i.URL(), ClientID: "reporter", Secret: outbound.Secret(i.Register(t, registry.Client{ID: "reporter"})),
				Origins: []string{api.URL}, HTTP: &http.Client{Transport: i.Transport(t)}, Quiet: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := calls.Client().Get(api.URL)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatal(answer, err)
			}
			_ = answer.Body.Close()
			i.KeySet.Hang()
			i.Introspection.Hang()
			i.TokenEndpoint.Hang()
		})
	}
}

// All of an issuer may be used at once.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	i := New(t)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			id := fmt.Sprint("client-", n)
			secret := i.Register(t, registry.Client{ID: id})
			far := newGuard(t, i.Remote(t, ""))
			status, granted := grant(t, i, id, secret)
			if want(t, far, "granted", granted, ok, ""); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			near, minted := newGuard(t, i.Bearer("")), i.Token(t, ClientID(id))
			want(t, near, "minted", minted, ok, "")
			if n < retained { // tokens of older keys are refused
				i.Rotate(t)
			}
			i.Revoke(t, minted)
			want(t, near, "revoked", minted, refuses, event.Revoked)
			i.RevokeClient(t, id)
			want(t, near, "of the client", i.Token(t, ClientID("another-"+id)), ok, "")
			if err := i.Clients().Delete(t.Context(), id); err != nil {
				t.Error(err)
			}
			_, _, _ = i.URL(), i.TokenEndpoint.Requests(), i.Client(t)
		})
	}
	all.Wait()
}

// Two issuers of one test have nothing in common but names: a migration from one to the
// other.
func TestTwoIssuers(t *testing.T) {
	t.Parallel()
	one, two := New(t), New(t)
	for name, guards := range map[string][2]*guard{
		"Bearer": {newGuard(t, one.Bearer("")), newGuard(t, two.Bearer(""))},
		"Remote": {newGuard(t, one.Remote(t, "")), newGuard(t, two.Remote(t, ""))},
	} {
		a, b := one.Token(t), two.Token(t) // of one client id and audience
		want(t, guards[0], name+": its own", a, ok, "")
		want(t, guards[1], name+": its own", b, ok, "")
		want(t, guards[0], name+": the other's", b, refuses, event.UnknownKey)
		want(t, guards[1], name+": the other's", a, refuses, event.UnknownKey)
		one.RevokeClient(t, "test-client")
		want(t, guards[0], name+": revoked", a, refuses, event.Revoked)
		want(t, guards[1], name+": revoked elsewhere", b, ok, "")
		one.Introspection.Fail(http.StatusInternalServerError)
		one.Feed.Hang()
		want(t, guards[1], name+": the other fails", b, ok, "")
		one.Introspection.Restore()
		one.Feed.Restore()
	}
	secret := one.Register(t, registry.Client{ID: "reporter"})
	two.Register(t, registry.Client{ID: "reporter"})
	if status, _ := grant(t, two, "reporter", secret); status != http.StatusUnauthorized {
		t.Errorf("status %d with the secret of the other issuer's client", status)
	}
	if one.TokenEndpoint.Requests() != 0 {
		t.Error("a request was counted by the other issuer")
	}
}

// A caller in a bubble of synctest gets its tokens without a network, and every fault of
// the token endpoint looks as it does over one.
func TestCallerInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := New(t, func(c *issuer.Config) { c.Issuer = "https://auth.test" })
		calls, err := outbound.New(outbound.Config{
			Issuer: i.URL(), ClientID: "reporter", Secret: outbound.Secret(i.Register(t, registry.Client{ID: "reporter"})),
			HTTP: &http.Client{Transport: i.Transport(t)}, Quiet: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer calls.Close()
		g := newGuard(t, i.Bearer(""))
		for name, fail := range map[string]func(){
			"Fail": func() { i.TokenEndpoint.Fail(http.StatusServiceUnavailable) }, "Hang": i.TokenEndpoint.Hang, "Garbage": i.TokenEndpoint.Garbage,
			"CutOff": i.TokenEndpoint.CutOff, "Slow": func() { i.TokenEndpoint.Slow(time.Hour) },
			"Serve": func() {
				i.TokenEndpoint.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
			},
		} {
			fail()
			time.Sleep(time.Hour) // no token of before is left
			before := i.TokenEndpoint.Requests()
			if _, err := calls.Token(t.Context()); err == nil {
				t.Errorf("%s: there was a token", name)
			}
			if i.TokenEndpoint.Requests() == before {
				t.Errorf("%s: no request", name)
			}
			i.TokenEndpoint.Restore()
			time.Sleep(20 * time.Minute)
			token, err := calls.Token(t.Context())
			if err != nil {
				t.Fatalf("%s: %v after it works again", name, err)
			}
			want(t, g, name, token.Text(), ok, "")
		}
	})
}

// An answer that is cut off has an end that no reader takes for its own.
func TestCutOffWithoutANetwork(t *testing.T) {
	t.Parallel()
	i := New(t, func(c *issuer.Config) { c.Issuer = "https://auth.test" })
	ask := func() (body string, err error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://auth.test/.well-known/jwks.json", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := i.Transport(t).RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		return string(content), err
	}
	whole, err := ask()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(whole), "}") {
		t.Errorf("%q, %v", whole, err)
	}
	i.KeySet.CutOff()
	if half, err := ask(); !errors.Is(err, io.ErrUnexpectedEOF) || half == "" || !strings.HasPrefix(whole, half) {
		t.Errorf("%q, %v", half, err)
	}
	i.KeySet.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if _, err := ask(); !errors.Is(err, io.EOF) {
		t.Errorf("a handler that gives up: %v", err)
	}
	i.KeySet.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault of the test") }))
	if _, err := ask(); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "a fault of the test") {
		t.Errorf("a handler that panics: %v", err)
	}
	i.KeySet.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/.well-known/jwks.json", http.NoBody)
	if _, err := i.Transport(t).RoundTrip(r); !errors.Is(err, context.Canceled) { //nolint:bodyclose // there is none
		t.Errorf("a caller that has left: %v", err)
	}
}

// Each fault gets the same answer over HTTP. A newline cannot be sent.
func TestFaultsOverHTTP(t *testing.T) {
	t.Parallel()
	i := New(t)
	api := httptest.NewServer(newGuard(t, i.Bearer(""), "orders:read").handler)
	t.Cleanup(api.Close)
	client := &http.Client{Transport: newTransport(t)}
	for _, fault := range Faults() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+i.Token(t, Scopes("orders:read"), Bad(fault.Name)))
		answer, err := client.Do(r)
		if sent := fault.Name != "newline in the signature"; (err == nil) != sent {
			t.Errorf("%s: %v", fault.Name, err)
		}
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode != fault.Status {
			t.Errorf("%s: status %d, want %d", fault.Name, answer.StatusCode, fault.Status)
		}
	}
}
