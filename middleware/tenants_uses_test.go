package middleware

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
)

// Every use of an issuer ends: after Close nothing keeps its Bearer open.
func TestTenantsUsesEnd(t *testing.T) {
	t.Parallel()
	forged := &directory{keys: newKeyring(t, strangeKey)}
	for name, use := range map[string]func(a *api, good, bad string){
		"a request":            func(a *api, good, _ string) { a.get("/", "Bearer "+good) },
		"one that is refused":  func(a *api, _, bad string) { a.get("/", "Bearer "+bad) },
		"Judge":                func(a *api, good, _ string) { _, _ = a.auth.Judge(request(http.MethodGet, "/", "Bearer "+good)) },
		"Judge, and a refusal": func(a *api, _, bad string) { _, _ = a.auth.Judge(request(http.MethodGet, "/", "Bearer "+bad)) },
		"Explain":              func(a *api, good, _ string) { a.auth.Explain(t.Context(), good) },
		"Explain, and a fault": func(a *api, _, bad string) { a.auth.Explain(t.Context(), bad) },
	} {
		d := newDirectory(t, 1)
		a := d.api(t, Tenants{})
		for range 2 {
			use(a, d.token(t, 0), forged.token(t, 0))
		}
		made := d.made[tenantName(0)]
		if err := a.auth.Close(); err != nil || len(made) != 1 || !closed(made[0]) {
			t.Errorf("%s: %d Bearers were made, and one is open: %v", name, len(made), err)
		}
	}
}

// A Bearer that was evicted in use, and comes back while its issuer is asked for again, is
// the only one of its issuer, and is closed at the end.
func TestTenantsComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(t, 3)
		auth, err := AnyTenant(Tenants{Bearer: d.bearer, Max: 1})
		if err != nil {
			t.Fatal(err)
		}
		tenants := auth.members.tenants
		from := caller{bearer: auth, request: request("GET", "/")}
		use := func(n int) member {
			m, e := tenants.get(from, tenantName(n))
			if e != nil {
				t.Fatal(e)
			}
			return m
		}
		first := use(0)
		use(1).release(false) // evicts it
		d.hold = make(chan struct{})
		var second member
		var asked sync.WaitGroup
		asked.Go(func() { second = use(0) })
		synctest.Wait()
		first.release(true)
		close(d.hold)
		asked.Wait()
		if second.Bearer != first.Bearer || closed(first.Bearer) || !closed(d.made[tenantName(0)][1]) {
			t.Error("there are two Bearers of one issuer")
		}
		second.release(true)
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
		for _, list := range d.made {
			for _, b := range list {
				if !closed(b) {
					t.Errorf("the Bearer of %s is open after Close", b.issuer)
				}
			}
		}
	})
}
