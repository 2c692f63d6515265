package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
)

// directory is a resolver: the issuers https://N.example.com with N below its size.
type directory struct {
	keys *jwks.Keyring
	size int
	hold chan struct{} // a call waits for it; nil: it does not

	mu    sync.Mutex
	calls map[string]int
	made  map[string][]*Bearer
	fault error
}

func newDirectory(tb testing.TB, size int) *directory {
	tb.Helper()
	return &directory{keys: newKeyring(tb, ecKey), size: size, calls: map[string]int{}, made: map[string][]*Bearer{}}
}

func tenantName(n int) string { return fmt.Sprintf("https://%d.example.com", n) }

func (d *directory) bearer(ctx context.Context, issuer string) (*Bearer, error) {
	d.mu.Lock()
	d.calls[issuer]++
	fault := d.fault
	d.mu.Unlock()
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fault != nil {
		return nil, fault
	}
	for n := range d.size {
		if issuer != tenantName(n) {
			continue
		}
		b, err := New(Config{
			Issuer: issuer, Audience: testAudience, Keys: d.keys, CacheSize: 10,
			Introspection: &Introspection{Endpoint: "https://never.example.com", ClientID: "api", ClientSecret: "s", Client: activeClient},
		})
		d.mu.Lock()
		d.made[issuer] = append(d.made[issuer], b)
		d.mu.Unlock()
		return b, err
	}
	return nil, nil
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// activeClient answers every introspection that the token is active.
var activeClient = &http.Client{Transport: transportFunc(func(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"active":true}`))}, nil
})}

// closed reports whether a Bearer was closed.
func closed(b *Bearer) bool { return errors.Is(b.introspector.ready(), errClosed) }

func (d *directory) total() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, calls := range d.calls {
		n += calls
	}
	return n
}

func (d *directory) token(tb testing.TB, n int) string {
	tb.Helper()
	return sign(tb, d.keys, payload(map[string]string{"iss": strconv.Quote(tenantName(n))}))
}

func (d *directory) api(tb testing.TB, c Tenants) *api {
	tb.Helper()
	a := &api{Echo: echo.New()}
	c.Bearer = d.bearer
	c.Observe = func(_ context.Context, e Event) { a.events = append(a.events, e) }
	auth, err := AnyTenant(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = auth.Close() })
	return a.guardedBy(auth)
}

// The Bearer of an issuer is made once, and used for its tokens alone.
func TestTenants(t *testing.T) {
	t.Parallel()
	d := newDirectory(t, 5)
	a := d.api(t, Tenants{})
	for range 3 {
		for n := range 5 {
			if got := a.wantServed(t, d.token(t, n)); got.Issuer != tenantName(n) {
				t.Errorf("the issuer is %s", got.Issuer)
			}
		}
	}
	if d.total() != 5 {
		t.Errorf("%d calls for 5 issuers", d.total())
	}
	for range 3 {
		a.wantInvalid(t, d.token(t, 7), "which no Bearer is for")
	}
	if d.total() != 6 {
		t.Errorf("%d calls for 5 issuers and one that is not ours", d.total())
	}
	if s := a.auth.Status(); len(s.Members) != 5 || s.Misses == 0 {
		t.Errorf("status %+v", s)
	}
	if err := a.auth.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.auth.Close(); err != nil {
		t.Error(err)
	}
	for issuer, list := range d.made {
		if len(list) != 1 || !closed(list[0]) {
			t.Errorf("%s: %d Bearers, or not closed", issuer, len(list))
		}
	}
	if w := a.get("/", "Bearer "+d.token(t, 1)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("after Close: %d", w.Code)
	}
	if err := a.auth.Ready(t.Context()); !errors.Is(err, jwks.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

// An issuer with a verified token is evicted by another such issuer alone: not by unknown
// ones, and not by ours with forged tokens.
func TestTenantsEviction(t *testing.T) {
	t.Parallel()
	d := newDirectory(t, 40)
	a := d.api(t, Tenants{Max: 8})
	for n := range 8 {
		a.wantServed(t, d.token(t, n))
	}
	forged := &directory{keys: newKeyring(t, strangeKey)}
	for n := range 18 {
		a.wantInvalid(t, d.token(t, 100+n), "which no Bearer is for")
		if w := a.get("/", "Bearer "+forged.token(t, n)); w.Code != http.StatusUnauthorized {
			t.Errorf("a forged token: %d", w.Code)
		}
	}
	if members := a.auth.Status().Members; len(members) != 10 { // 8 and a quarter
		t.Errorf("%d are cached", len(members))
	}
	before := d.total()
	for n := range 8 {
		a.wantServed(t, d.token(t, n))
	}
	if d.total() != before {
		t.Error("an issuer in use was evicted")
	}
	open := 0
	for _, list := range d.made {
		for _, b := range list {
			if !closed(b) {
				open++
			}
		}
	}
	if open != 10 {
		t.Errorf("%d Bearers are open", open)
	}
	a.wantServed(t, d.token(t, 20)) // evicts the one that was not used for the longest time
	a.wantServed(t, d.token(t, 1))
	if before = d.total(); !closed(d.made[tenantName(0)][0]) || closed(d.made[tenantName(1)][0]) {
		t.Error("another one was evicted")
	}
	a.wantServed(t, d.token(t, 0))
	if d.total() != before+1 {
		t.Error("an evicted issuer was not asked for")
	}
}

// First requests of one issuer share a call, a caller that leaves does not end it, and an
// evicted Bearer is closed after its last use.
func TestTenantsShareCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(t, 3)
		d.hold = make(chan struct{})
		auth, err := AnyTenant(Tenants{Bearer: d.bearer, Max: 1})
		if err != nil {
			t.Fatal(err)
		}
		h := auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		token := "Bearer " + d.token(t, 0)
		var served atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if send(h, request("GET", "/", token)).Code == http.StatusOK {
					served.Add(1)
				}
			})
		}
		ctx, leave := context.WithCancel(t.Context())
		all.Go(func() { send(h, request("GET", "/", token).WithContext(ctx)) })
		synctest.Wait()
		leave()
		synctest.Wait()
		close(d.hold)
		all.Wait()
		if served.Load() != 20 || d.total() != 1 {
			t.Errorf("%d of 20 were served, with %d calls", served.Load(), d.total())
		}
		for n := 1; n < 3; n++ {
			if w := send(h, request("GET", "/", "Bearer "+d.token(t, n))); w.Code != http.StatusOK {
				t.Errorf("status %d", w.Code)
			}
		}
		if !closed(d.made[tenantName(0)][0]) || closed(d.made[tenantName(2)][0]) {
			t.Error("the use of an evicted Bearer was not counted right")
		}
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Calls are bounded: at the same time, and by those that were of no use, for one network
// and for all.
func TestTenantsBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(t, 2)
		auth, err := AnyTenant(Tenants{Bearer: d.bearer, ClientIP: func(r *http.Request) string { return r.Header.Get("From-IP") }})
		if err != nil {
			t.Fatal(err)
		}
		h := auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		from := func(network, n int) int {
			r := request("GET", "/", "Bearer "+d.token(t, n))
			r.Header.Set("From-IP", fmt.Sprintf("192.0.%d.1", network))
			return send(h, r).Code
		}
		for n := range 100 {
			from(0, 1000+n)
		}
		if d.total() != networkRefused {
			t.Errorf("%d calls for one network", d.total())
		}
		if code := from(0, 5000); code != http.StatusServiceUnavailable {
			t.Errorf("beyond the bound: %d", code)
		}
		if code := from(1, 0); code != http.StatusOK {
			t.Errorf("another network: %d", code)
		}
		if code := from(0, 0); code != http.StatusOK {
			t.Errorf("an issuer that is cached: %d", code)
		}
		for network := 2; network < 40; network++ {
			for n := range 64 {
				from(network, 100*network+10_000+n)
			}
		}
		if d.total() != maxRefused+1 {
			t.Errorf("%d calls in a period", d.total())
		}
		time.Sleep(refusalPeriod)
		if code := from(1, 1); code != http.StatusOK {
			t.Errorf("in the next period: %d", code)
		}
		if n := len(auth.members.tenants.networks); n > 1 {
			t.Errorf("%d networks are counted", n)
		}
		if n := len(auth.members.tenants.refused); n > maxRefused {
			t.Errorf("%d refusals are cached", n)
		}

		d.hold = make(chan struct{})
		var all sync.WaitGroup
		for network := range 20 {
			for n := range 10 {
				all.Go(func() { from(50+network, 100_000+100*network+n) })
			}
		}
		synctest.Wait()
		if n := len(auth.members.tenants.calls); n != maxCalls {
			t.Errorf("%d calls run", n)
		}
		for network, demand := range auth.members.tenants.networks {
			if demand.calls > maxNetworkCalls {
				t.Errorf("%d calls run for %s", demand.calls, network)
			}
		}
		close(d.hold)
		all.Wait()
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What a resolver does wrong fails closed, and is not asked again at once.
func TestTenantsFaults(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	first := newAPI(t, Config{Keys: keys}).auth
	any1, err := Any(first)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		bearer func(context.Context, string) (*Bearer, error)
		status int
	}{
		"an error": {func(context.Context, string) (*Bearer, error) { return nil, errors.New("the database is away") }, 503},
		"a panic":  {func(context.Context, string) (*Bearer, error) { panic("a fault") }, 503},
		"never":    {func(ctx context.Context, _ string) (*Bearer, error) { <-ctx.Done(); return nil, ctx.Err() }, 503},
		"another issuer's": {func(context.Context, string) (*Bearer, error) {
			return New(Config{Issuer: "x", Audience: "x", Keys: keys})
		}, 500},
		"zero":       {func(context.Context, string) (*Bearer, error) { return &Bearer{}, nil }, 500},
		"one of Any": {func(context.Context, string) (*Bearer, error) { return any1, nil }, 500},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			a := &api{Echo: echo.New()}
			auth, err := AnyTenant(Tenants{Bearer: func(ctx context.Context, issuer string) (*Bearer, error) {
				calls++
				return tt.bearer(ctx, issuer)
			}, Observe: func(_ context.Context, e Event) { a.events = append(a.events, e) }})
			if err != nil {
				t.Fatal(err)
			}
			a.guardedBy(auth)
			for range 3 {
				if w := a.get("/", "Bearer "+goodToken(t, keys)); w.Code != tt.status {
					t.Errorf("%s: status %d, want %d", name, w.Code, tt.status)
				}
			}
			if calls != 1 {
				t.Errorf("%s: %d calls", name, calls)
			}
			if err := auth.Ready(t.Context()); err == nil && name != "never" || errors.Is(err, jwks.ErrUnavailable) {
				t.Errorf("%s: Ready: %v", name, err)
			}
			time.Sleep(failedFor)
			a.get("/", "Bearer "+goodToken(t, keys))
			if calls != 2 || len(a.events) != 4 || a.events[0].Err == nil {
				t.Errorf("%s: %d calls, events %v", name, calls, a.events)
			}
			if err := auth.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	again := &api{Echo: echo.New()} // one Bearer for two AnyTenant
	for want := range 2 {
		auth, err := AnyTenant(Tenants{Bearer: func(context.Context, string) (*Bearer, error) { return first, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if w := again.guardedBy(auth).get("/", "Bearer "+goodToken(t, keys)); (w.Code == http.StatusOK) != (want == 0) {
			t.Errorf("status %d", w.Code)
		}
	}
	for _, c := range []Tenants{{}, {Bearer: newDirectory(t, 1).bearer, Max: -1}, {Bearer: newDirectory(t, 1).bearer, Max: maxTenants + 1}} {
		if b, err := AnyTenant(c); err == nil || b != nil || !strings.Contains(err.Error(), "Tenants.") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A mixture of fixed issuers and tenants, with guards inside each other.
func TestAnyWithTenants(t *testing.T) {
	t.Parallel()
	d := newDirectory(t, 3)
	ours := newAPI(t, Config{Keys: d.keys})
	tenants := d.api(t, Tenants{Max: 1})
	auth, err := Any(ours.auth, tenants.auth)
	if err != nil {
		t.Fatal(err)
	}
	a := (&api{Echo: echo.New()}).guardedBy(auth)
	a.Group("/nested", auth.Require()).GET("", func(c echo.Context) error {
		for n := range 3 { // evicts the one of this request
			a.wantServed(t, d.token(t, n))
		}
		return auth.Require("orders:read")(a.serve)(c)
	})
	a.wantServed(t, goodToken(t, d.keys))
	if d.total() != 0 {
		t.Error("the resolver was asked for a fixed issuer")
	}
	if w := a.get("/nested", "Bearer "+d.token(t, 0)); w.Code != http.StatusOK || a.tokens[len(a.tokens)-1].Issuer != tenantName(0) {
		t.Errorf("nested: %d", w.Code)
	}
	if w := a.get("/"); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
	if err := auth.Close(); err != nil {
		t.Error(err)
	}
}

// Requests, evictions and Close at the same time: run with -race.
func TestTenantsTogether(t *testing.T) {
	t.Parallel()
	d := newDirectory(t, 12)
	auth, err := AnyTenant(Tenants{Bearer: d.bearer, Max: 4})
	if err != nil {
		t.Fatal(err)
	}
	h := auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var list []string
	for n := range 12 {
		list = append(list, "Bearer "+d.token(t, n))
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for n := range 200 {
				switch w := send(h, request("GET", "/", list[(n*7+worker)%12])); w.Code {
				case http.StatusOK, http.StatusServiceUnavailable: // 503: too many calls for this one network
				default:
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
				_ = auth.Status()
			}
		})
	}
	all.Wait()
	if err := auth.Close(); err != nil {
		t.Error(err)
	}
	for _, made := range d.made {
		for _, b := range made {
			if !closed(b) {
				t.Fatal("a Bearer is open after Close")
			}
		}
	}
}
