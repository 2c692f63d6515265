package issuertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// failing is a test that may fail. Everything else it leaves to the real one.
type failing struct {
	testing.TB

	complaint string
}

func (f *failing) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

func (f *failing) Fatalf(format string, args ...any) {
	f.complaint = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// complaint returns why the test failed that calls the func.
func complaint(t *testing.T, test func(tb testing.TB)) string {
	t.Helper()
	f, ended := &failing{TB: t}, make(chan struct{})
	go func() {
		defer close(ended)
		test(f)
	}()
	<-ended
	return f.complaint
}

// A wrong use fails the test, and says what to write.
func TestMisuse(t *testing.T) {
	t.Parallel()
	i := New(t)
	for _, tt := range []struct {
		want string
		test func(tb testing.TB)
	}{
		{"leave Config.Keys and Config.Store nil", func(tb testing.TB) { New(tb, func(c *issuer.Config) { c.Keys = &jwks.Keyring{} }) }},
		{"leave Config.Keys and Config.Store nil", func(tb testing.TB) { New(tb, func(c *issuer.Config) { c.Store = &registry.Memory{} }) }},
		{"Config.TokenTTL is -1ns", func(tb testing.TB) { New(tb, func(c *issuer.Config) { c.TokenTTL = -1 }) }},
		{"Config.Issuer: parse", func(tb testing.TB) { New(tb, func(c *issuer.Config) { c.Issuer = ":" }) }},
		{`there is no fault "late": write one of`, func(tb testing.TB) { i.Token(tb, Bad("late")) }},
		{`there is no fault "": write one of`, func(tb testing.TB) { i.Token(tb, Bad("")) }},
		{"Fail(0): write a status from 200 to 599", func(tb testing.TB) { New(tb).TokenEndpoint.Fail(0) }},
		{"Fail(1000): write a status from 200 to 599", func(tb testing.TB) { New(tb).Feed.Fail(1000) }},
		{`the claim "x": json`, func(tb testing.TB) { i.Client(tb, Claim("x", make(chan int))) }},
		{"registry:", func(tb testing.TB) { i.Register(tb, registry.Client{ID: "é"}) }},
		{"issuertest: revoking:", func(tb testing.TB) { i.Revoke(tb, "opaque") }},
		{"issuer: RevokeClient without", func(tb testing.TB) { i.RevokeClient(tb, "") }},
		{"was not made by issuertest.New(t)", func(tb testing.TB) { (&Issuer{}).Token(tb) }},
		{"was not made by issuertest.New(t)", func(tb testing.TB) { (&Issuer{}).Rotate(tb) }},
		{"was not made by issuertest.New(t)", func(tb testing.TB) { (*Issuer)(nil).Transport(tb) }},
		{"", func(tb testing.TB) { New(tb, nil).Token(tb, nil) }}, // a nil option is none
		{"is another issuer's", func(tb testing.TB) { i.Revoke(tb, New(tb).Token(tb)) }},
	} {
		if got := complaint(t, tt.test); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("the test says %q, want %q", got, tt.want)
		}
	}
}

// An issuer that listens would stop the clock of a bubble.
func TestMisuseInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if got := complaint(t, func(tb testing.TB) { New(tb) }); !strings.Contains(got, "set Config.Issuer") {
			t.Errorf("the test says %q", got)
		}
	})
}

// After its test an issuer answers nothing, and its guards let no request in.
func TestAfterTheEnd(t *testing.T) {
	var i *Issuer
	var g *guard
	var token string
	t.Run("issuer", func(t *testing.T) {
		i = New(t)
		g, token = newGuard(t, i.Bearer("")), i.Token(t)
		want(t, g, "before", token, ok, "")
	})
	want(t, g, "after", token, http.StatusServiceUnavailable, event.KeysUnavailable)
	for _, path := range []string{"/token", "/revoke"} {
		w := httptest.NewRecorder()
		if i.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody)); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	for name, test := range map[string]func(tb testing.TB){
		"Token": func(tb testing.TB) { i.Token(tb) }, "Rotate": func(tb testing.TB) { i.Rotate(tb) },
		"Register": func(tb testing.TB) { i.Register(tb, registry.Client{}) }, "Remote": func(tb testing.TB) { i.Remote(tb, "") }, "Client": func(tb testing.TB) { i.Client(tb) },
		"EmergencyRotate": func(tb testing.TB) { i.EmergencyRotate(tb) },
		"Revoke":          func(tb testing.TB) { i.Revoke(tb, token) }, "RevokeClient": func(tb testing.TB) { i.RevokeClient(tb, "test-client") },
	} {
		if got := complaint(t, test); !strings.Contains(got, "ended") {
			t.Errorf("%s says %q", name, got)
		}
	}
	i.KeySet.Fail(0) // the test has ended, and cannot fail
	i.KeySet.Hang()  // does not bring it back
	if f, _ := i.KeySet.now(); f.hang {
		t.Error("a request would hang after the end")
	}
}
