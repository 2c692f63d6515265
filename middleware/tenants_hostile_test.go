package middleware

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/echo-m2m/m2m/jwks/event"
)

// A tenant whose check panics is closed all the same when it is evicted.
func TestTenantsPanic(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(auth *Bearer, r *http.Request){
		"guard": func(auth *Bearer, r *http.Request) { send(auth.Handler(http.NotFoundHandler()), r) },
		"judge": func(auth *Bearer, r *http.Request) { _, _ = auth.Judge(r) },
	} {
		synctest.Test(t, func(t *testing.T) { panicking(t, name, use) })
	}
}

func panicking(t *testing.T, name string, use func(auth *Bearer, r *http.Request)) {
	d := newDirectory(t, 2)
	auth, err := AnyTenant(Tenants{Max: 1, Bearer: func(ctx context.Context, issuer string) (*Bearer, error) {
		b, err := d.bearer(ctx, issuer)
		if b != nil && issuer == tenantName(0) {
			b.revoked = func(context.Context, string, string, time.Time) (bool, error) { panic("of the app") }
		}
		return b, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if fault := recover(); fault == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		use(auth, request("GET", "/", "Bearer "+d.token(t, 0)))
	}()
	forged := d.token(t, 1)
	_, _ = auth.Judge(request("GET", "/", "Bearer "+forged[:len(forged)-4])) // evicts it
	synctest.Wait()
	if !closed(d.made[tenantName(0)][0]) {
		t.Errorf("%s: the Bearer of an evicted tenant is open", name)
	}
	if err := auth.Close(); err != nil {
		t.Error(err)
	}
}

// Issuers that nobody has are not kept with their tokens, and very long ones not at all.
func TestTenantsMemory(t *testing.T) {
	t.Parallel()
	d := newDirectory(t, 1)
	auth, err := AnyTenant(Tenants{Bearer: d.bearer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	from := caller{bearer: auth, request: request("GET", "/")}
	token := strings.Repeat("https://nobody.example.com/", 100)
	if _, e := auth.members.tenants.get(from, token[:maxIssuer+1]); e.Reason() != event.WrongIssuer || d.total() != 0 {
		t.Errorf("a long issuer: %v, %d calls", e, d.total())
	}
	if _, e := auth.members.tenants.get(from, token[:maxIssuer]); e.Reason() != event.WrongIssuer || d.total() != 1 {
		t.Errorf("an issuer: %v, %d calls", e, d.total())
	}
	for kept := range auth.members.tenants.refused {
		if unsafe.StringData(kept) == unsafe.StringData(token) {
			t.Error("the token is kept")
		}
	}
}
