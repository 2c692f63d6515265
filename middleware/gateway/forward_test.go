package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	bearer "github.com/echo-m2m/m2m/middleware"
)

// The mapping reads the claims as the guard has read them, and further claims as they are.
func TestHeadersHoldClaims(t *testing.T) {
	c := newCallers(t)
	f := newTestForwarder(t, ForwardConfig{Headers: map[string]string{
		"x-caller": "client_id", "X-Subject": "sub", "X-Issuer": "iss", "X-Scopes": "scope", "X-Id": "jti",
		"X-Tenant": "tenant", "X-Level": "level", "X-Live": "live", "X-Groups": "groups", "X-None": "none", "X-Null": "null", "X-Empty": "empty", "X-List": "list",
	}})
	token := c.token(t, map[string]any{
		"sub": "subject 1", "tenant": "acme \"co\", 7%", "level": 7, "live": true, "groups": []string{"a", "b,c"}, "null": nil, "empty": "", "list": []string{},
	})
	got := forwarded(t, f, c, token).Header
	want := http.Header{
		"X-Caller": {"app1"}, "X-Subject": {"subject 1"}, "X-Issuer": {callerIssuer}, "X-Scopes": {"orders:read orders:write"}, "X-Id": {"id-1"},
		"X-Tenant": {"acme \"co\", 7%"}, "X-Level": {"7"}, "X-Live": {"true"}, "X-Groups": {"a b,c"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the upstream sees %v, want %v", got, want)
	}
}

// What a header cannot say without doubt is refused, and nothing goes upstream.
func TestValuesThatNoHeaderHolds(t *testing.T) {
	c := newCallers(t)
	f := newTestForwarder(t, ForwardConfig{Headers: map[string]string{"X-Client-Id": "client_id", "X-Tenant": "tenant"}})
	for name, changes := range map[string]map[string]any{
		"CR LF":         {"client_id": "app1\r\nX-Role: admin"},
		"LF":            {"client_id": "app1\nadmin"},
		"NUL":           {"client_id": "app1\x00"},
		"DEL":           {"client_id": "app1\x7f"},
		"tab":           {"client_id": "\tapp1"},
		"not ASCII":     {"client_id": "äpp1"},
		"space at end":  {"client_id": "app1 "},
		"space at head": {"client_id": " app1"},
		"object":        {"tenant": map[string]any{"id": 1}},
		"list of lists": {"tenant": []any{[]string{"a"}}},
		"list of null":  {"tenant": []any{nil}},
		"list, space":   {"tenant": []string{"a b", "c"}},
		"list, empty":   {"tenant": []string{"", "c"}},
		"claim, CR LF":  {"tenant": "a\r\nX-Client-Id: admin"},
	} {
		called := false
		h := c.auth.Handler(f.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })))
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+c.token(t, changes))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || called {
			t.Errorf("%s: status %d, called %t", name, w.Code, called)
		}

		app := echo.New()
		var cause error
		app.HTTPErrorHandler = func(err error, _ echo.Context) { cause = err }
		app.GET("/", func(echo.Context) error { called = true; return nil }, c.auth.Require(), f.Echo())
		app.ServeHTTP(httptest.NewRecorder(), r)
		refused, ok := errors.AsType[*echo.HTTPError](cause)
		if !ok || refused.Code != http.StatusForbidden || refused.Internal == nil || called {
			t.Errorf("%s: Echo's error %v, called %t", name, cause, called)
		}
	}
}

// A request without a token, as behind an optional guard, brings no identity.
func TestRequestWithoutToken(t *testing.T) {
	for name, config := range map[string]ForwardConfig{
		"headers":  {},
		"internal": {Internal: newInternal(newTestKeys(t))},
		"pass":     {PassAuthorization: true},
	} {
		var out *http.Request
		h := newTestForwarder(t, config).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { out = r }))
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
		r.Header = http.Header{"X-Client-Id": {"admin"}, "X_client_id": {"admin"}, "Authorization": {"Bearer admin"}, "Dpop": {"admin"}, "Client-Cert": {":admin:"}, "X-Note": {"a"}}
		before := r.Header.Clone()
		h.ServeHTTP(httptest.NewRecorder(), r)
		if want := (http.Header{"X-Note": {"a"}}); !reflect.DeepEqual(out.Header, want) {
			t.Errorf("%s: the upstream sees %v, want %v", name, out.Header, want)
		}
		if !reflect.DeepEqual(r.Header, before) {
			t.Errorf("%s: the request of the client was changed: %v", name, r.Header)
		}
	}
}

// The caller's own credentials go on only when asked, their twins and a certificate that
// the client only claims never.
func TestCredentialsGoOnWhenAsked(t *testing.T) {
	c := newCallers(t)
	token := c.token(t, nil)
	certificate := &x509.Certificate{Raw: []byte("certificate")}
	for _, pass := range []bool{false, true} {
		f := newTestForwarder(t, ForwardConfig{PassAuthorization: pass})
		var out *http.Request
		h := c.auth.Handler(f.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { out = r })))
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		r.Header = http.Header{
			"Authorization": {"Bearer " + token}, "Dpop": {"proof"}, "Client-Cert": {":admin:"}, "Client_Cert": {":admin:"}, "Client-Cert-Chain": {":admin:"},
			"Proxy-Authorization": {"admin"}, "Connection": {"Authorization, DPoP, Client-Cert"},
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		want := http.Header{"X-Client-Id": {"app1"}, "X-Client-Scopes": {"orders:read orders:write"}, "X-Token-Issuer": {callerIssuer}}
		if pass {
			maps.Copy(want, http.Header{"Authorization": {"Bearer " + token}, "Dpop": {"proof"}, "Client-Cert": {":Y2VydGlmaWNhdGU=:"}})
		}
		if !reflect.DeepEqual(out.Header, want) {
			t.Errorf("pass %t: the upstream sees %v, want %v", pass, out.Header, want)
		}
	}
}

// Names of Strip are removed, and so are the default names when others are set.
func TestFurtherNamesAreStripped(t *testing.T) {
	c := newCallers(t)
	f := newTestForwarder(t, ForwardConfig{Headers: map[string]string{"X-Caller": "client_id"}, Strip: []string{"X-Tenant"}})
	var out *http.Request
	h := c.auth.Handler(f.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { out = r })))
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
	r.Header = http.Header{"Authorization": {"Bearer " + c.token(t, nil)}, "X-Tenant": {"admin"}, "X_tenant": {"admin"}, "X-Caller": {"admin"}, "X-Client-Id": {"admin"}, "X-Tenants": {"a"}}
	h.ServeHTTP(httptest.NewRecorder(), r)
	if want := (http.Header{"X-Caller": {"app1"}, "X-Tenants": {"a"}}); !reflect.DeepEqual(out.Header, want) {
		t.Errorf("the upstream sees %v, want %v", out.Header, want)
	}
}

// Headers that Connection lists are for the gateway alone (RFC 9110, section 7.6.1). "TE:
// trailers" goes on, in a spelling of the gateway's.
func TestHopByHopHeadersEnd(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
	r.Header = http.Header{
		"Connection": {"keep-alive, x-one", "X-Two,,TE"}, "X-One": {"a"}, "X-Two": {"a"}, "X-Three": {"a"}, "Te": {"gzip;q=0.5, Trailers;q=1"},
		"Keep-Alive": {"a"}, "Proxy-Connection": {"a"}, "Transfer-Encoding": {"a"}, "Http2-Settings": {"a"}, ":protocol": {"websocket"},
	}
	h, e := newTestForwarder(t, ForwardConfig{}).header(r, nil)
	if want := (http.Header{"X-Three": {"a"}, "Te": {"trailers"}}); e != nil || !reflect.DeepEqual(h, want) {
		t.Errorf("the upstream sees %v, want %v", h, want)
	}
}

// Behind the Forwarder, Echo's context has the request of the client again: an access log in
// front reads what was sent.
func TestRequestIsRestored(t *testing.T) {
	c := newCallers(t)
	f := newTestForwarder(t, ForwardConfig{})
	app := echo.New()
	var after http.Header
	log := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			after = c.Request().Header
			return err
		}
	}
	app.GET("/", func(echo.Context) error { return nil }, log, c.auth.Require(), f.Echo())
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
	r.Header = http.Header{"Authorization": {"Bearer " + c.token(t, nil)}, "X-Client-Id": {"admin"}}
	app.ServeHTTP(httptest.NewRecorder(), r)
	if after.Get("X-Client-Id") != "admin" || after.Get("Authorization") == "" {
		t.Errorf("the log reads %v", after)
	}
}

// A Forwarder that NewForwarder did not make, and one without a proxy, answer 500.
func TestZeroForwarder(t *testing.T) {
	reached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the upstream is called") })
	for name, h := range map[string]http.Handler{
		"nil": (*Forwarder)(nil).Handler(reached), "zero": new(Forwarder).Handler(reached), "no proxy": newTestForwarder(t, ForwardConfig{}).Handler(nil),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody))
		if w.Code != http.StatusInternalServerError {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
	for name, f := range map[string]*Forwarder{"nil": nil, "zero": {}} {
		app := echo.New()
		app.GET("/", func(echo.Context) error { t.Error("the upstream is called"); return nil }, f.Echo())
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody))
		if w.Code != http.StatusInternalServerError {
			t.Errorf("Echo, %s: status %d", name, w.Code)
		}
	}
}

// A ForwardConfig that cannot work is refused, and the error names the field.
func TestForwardConfigIsChecked(t *testing.T) {
	internal := newInternal(newTestKeys(t))
	for name, of := range map[string]struct {
		config ForwardConfig
		field  string
	}{
		"both tokens":       {ForwardConfig{Internal: internal, PassAuthorization: true}, "PassAuthorization"},
		"name":              {ForwardConfig{Headers: map[string]string{"X_Client": "client_id"}}, "Headers"},
		"empty name":        {ForwardConfig{Headers: map[string]string{"": "client_id"}}, "Headers"},
		"no claim":          {ForwardConfig{Headers: map[string]string{"X-Client": ""}}, "Headers"},
		"authorization":     {ForwardConfig{Headers: map[string]string{"authorization": "client_id"}}, "Headers"},
		"another method":    {ForwardConfig{Headers: map[string]string{"x-http-method-override": "method"}}, "Headers"},
		"connection":        {ForwardConfig{Headers: map[string]string{"connection": "client_id"}}, "Headers"},
		"twice":             {ForwardConfig{Headers: map[string]string{"X-Client": "client_id", "x-client": "sub"}}, "Headers"},
		"strip":             {ForwardConfig{Strip: []string{"X Tenant"}}, "Strip"},
		"upgrade":           {ForwardConfig{Upgrades: []string{"websocket, h2c"}}, "Upgrades"},
		"upgrade, empty":    {ForwardConfig{Upgrades: []string{""}}, "Upgrades"},
		"upgrade, controls": {ForwardConfig{Upgrades: []string{"a\r\nb"}}, "Upgrades"},
	} {
		if _, err := NewForwarder(of.config); err == nil || !strings.Contains(err.Error(), of.field) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// An empty list of Upgrades allows no switch.
func TestNoUpgrades(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	for _, of := range []struct {
		upgrades []string
		want     []string
	}{{nil, []string{"websocket"}}, {[]string{}, nil}, {[]string{"mqtt"}, nil}} {
		h, e := newTestForwarder(t, ForwardConfig{Upgrades: of.upgrades}).header(r, &bearer.Token{ClientID: "app1"})
		if e != nil || !slices.Equal(h["Upgrade"], of.want) {
			t.Errorf("%q: the upstream sees %q, want %q", of.upgrades, h["Upgrade"], of.want)
		}
	}
}

// A name finds its twins and nothing else, whatever the bytes.
func FuzzProtectedNames(f *testing.F) {
	for _, name := range []string{"X-Client-Id", "x_client_id", "X.Client.Id", "XClientId", "X-Client-Idx", "\x00-Client-Id", "Xäclient-Id", ""} {
		f.Add(name)
	}
	names := newNameSet()
	names.add("X-Client-Id", protected)
	f.Fuzz(func(t *testing.T, name string) {
		letters := func(s string) string { // as CGI makes a variable of a name
			return strings.Map(func(c rune) rune {
				if c >= 'A' && c <= 'Z' {
					return c + 'a' - 'A'
				}
				if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
					return '_'
				}
				return c
			}, s)
		}
		ascii := strings.IndexFunc(name, func(c rune) bool { return c > '~' }) < 0
		isClientID := func(known *knownName) bool { return known != nil && known.name == "X-Client-Id" }
		if got, want := isClientID(names.find(name)), letters(name) == "x_client_id"; ascii && got != want {
			t.Errorf("%q: found is %t, want %t", name, got, want)
		}
	})
}
