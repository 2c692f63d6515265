package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// Every refusal is one event, with its reason, the status and code of the answer, the
// client and a cause.
func TestReasons(t *testing.T) {
	const grant = "grant_type=client_credentials"
	disabled, basicOnly, imported := app(), app(), chosen(t, "imported")
	disabled.ID, disabled.Disabled = "disabled", true
	basicOnly.ID, basicOnly.AuthMethod = "basic", registry.ClientSecretBasic
	clients := []registry.Client{app(), disabled, basicOnly, imported, chosen(t, "guessed")}
	other, _ := registry.GenerateSecret()
	good := newService(t, Config{}, clients...)
	store := &watched{Memory: newStore(t, app(), guard("all", "*"))}
	dark := newService(t, Config{Store: store}) // its store goes down
	failing := newService(t, Config{Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return nil, errDown })})
	signless := newService(t, Config{Keys: newKeyring(t, brokenSigner{ecKey})})
	claimless := newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) { return nil, errBroken }})
	misclaiming := claiming(t, map[string]any{"sub": "root"})
	verbose := claiming(t, map[string]any{"x": strings.Repeat("x", maxToken)})
	full := newService(t, Config{ImportedSecrets: true}, clients...)
	full.issuer.secrets.slow.queue.free, full.issuer.secrets.slow.queue.others.waiting = 0, slowWaiters
	guessed := newGuessed(t, 1, clients...)
	guessed.from(address(1), "guessed", "wrong")
	foreign := good.wantToken(t, good.post(form("grant_type", "client_credentials", "client_id", "basic"), "Authorization", basic("basic", appSecret)))
	unrevoked := dark.wantToken(t, dark.post(appForm))
	store.does(at("Revoke", down))

	header := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Add("Authorization", value) }
	}
	for name, tt := range map[string]struct {
		s          *service
		path, body string
		change     func(*http.Request)
		reason     event.Reason
		status     int
		code       string
		client     string // the client in the event; with "?" it is only claimed
		cause      error  // nil: the public error
	}{
		"GET":                  {good, "/token", "", func(r *http.Request) { r.Method = "GET" }, event.MalformedRequest, 405, "invalid_request", "", nil},
		"query":                {good, "/token?client_id=app", appForm, nil, event.MalformedRequest, 400, "invalid_request", "", nil},
		"content type":         {good, "/token", appForm, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, event.MalformedRequest, 400, "invalid_request", "", nil},
		"repeated":             {good, "/token", appForm + "&scope=a&scope=b", nil, event.MalformedRequest, 400, "invalid_request", "", nil},
		"too large":            {good, "/token", appForm + "&x=" + strings.Repeat("x", maxRequest), nil, event.RequestTooLarge, 413, "invalid_request", "", nil},
		"no grant":             {good, "/token", "x=y", nil, event.MalformedRequest, 400, "invalid_request", "", nil},
		"other grant":          {good, "/token", "grant_type=password", nil, event.UnsupportedGrantType, 400, "unsupported_grant_type", "", nil},
		"no token":             {good, "/revoke", appForm, nil, event.MalformedRequest, 400, "invalid_request", "", nil},
		"two credentials":      {good, "/token", appForm, header(basic("app", appSecret)), event.MalformedRequest, 400, "invalid_request", "", nil},
		"no credential":        {good, "/token", grant, nil, event.NoCredential, 401, "invalid_client", "", nil},
		"no secret":            {good, "/token", grant + "&client_id=app", nil, event.NoCredential, 401, "invalid_client", "app?", nil},
		"no id":                {good, "/token", grant + "&client_secret=x", nil, event.MalformedRequest, 400, "invalid_request", "", nil},
		"Bearer":               {good, "/token", grant, header("Bearer x"), event.WrongMethod, 401, "invalid_client", "", errWrongMethod},
		"assertion":            {good, "/token", grant + "&client_assertion=x", nil, event.WrongMethod, 401, "invalid_client", "", errWrongMethod},
		"bad Basic":            {good, "/token", grant, header("Basic x"), event.MalformedCredential, 401, "invalid_client", "", errMalformed},
		"bad secret":           {good, "/token", grant, header(basic("app", "\x00")), event.MalformedCredential, 401, "invalid_client", "app?", errMalformed},
		"secret for an id":     {good, "/token", grant, header(basic(appSecret, "x")), event.UnknownClient, 401, "invalid_client", "", errUnknownClient},
		"unknown client":       {good, "/token", grant, header(basic("nobody", appSecret)), event.UnknownClient, 401, "invalid_client", "nobody?", errUnknownClient},
		"wrong secret":         {good, "/introspect", "token=x", header(basic("app", other)), event.WrongSecret, 401, "invalid_client", "app?", errWrongSecret},
		"disabled":             {good, "/revoke", "token=x", header(basic("disabled", appSecret)), event.ClientDisabled, 401, "invalid_client", "disabled?", errDisabled},
		"wrong method":         {good, "/token", secretOf("basic"), nil, event.WrongMethod, 401, "invalid_client", "basic?", errWrongMethod},
		"imported secrets off": {good, "/token", grant, header(basic("imported", "secret456")), event.ImportedSecretsOff, 401, "invalid_client", "imported?", errNotImported},
		"locked out":           {guessed, "/token", grant, header(basic("guessed", "secret456")), event.LockedOut, 429, "temporarily_unavailable", "guessed?", errLockedOut},
		"busy":                 {full, "/token", grant, header(basic("imported", "secret456")), event.Busy, 503, "temporarily_unavailable", "imported?", errSlowBusy},
		"store down":           {failing, "/token", appForm, nil, event.StoreUnavailable, 503, "temporarily_unavailable", "app?", errDown},
		"scope":                {good, "/token", appForm + "&scope=x", nil, event.InvalidScope, 400, "invalid_scope", "app", nil},
		"resource":             {good, "/token", appForm + "&resource=https://x.example.com", nil, event.InvalidTarget, 400, "invalid_target", "app", nil},
		"claims":               {claimless, "/token", appForm, nil, event.ClaimsRefused, 500, "server_error", "app", errBroken},
		"invalid claims":       {misclaiming, "/token", appForm, nil, event.ClaimsRefused, 500, "server_error", "app", nil},
		"token too large":      {verbose, "/token", appForm, nil, event.Internal, 500, "server_error", "app", errTokenTooLarge},
		"keys":                 {signless, "/token", appForm, nil, event.KeysUnavailable, 503, "temporarily_unavailable", "app", errBroken},
		"foreign token":        {good, "/revoke", about(foreign.token), nil, event.ForeignToken, 400, "unauthorized_client", "app", nil},
		"revocation fails":     {dark, "/revoke", about(unrevoked.token), nil, event.StoreUnavailable, 503, "temporarily_unavailable", "app", errDown},
	} {
		t.Run(name, func(t *testing.T) {
			r := newForm(tt.path, tt.body)
			r.RemoteAddr = address(2)
			if tt.change != nil {
				tt.change(r)
			}
			var w *httptest.ResponseRecorder
			e := tt.s.took(t, func() { w = tt.s.send(r) })
			op := map[string]event.Op{"/token": event.OpToken, "/revoke": event.OpRevoke, "/introspect": event.OpIntrospect}[r.URL.Path]
			if w.Code != tt.status || e.Op != op || e.Reason != tt.reason || e.Status != tt.status || e.Code != tt.code || e.Duration <= 0 {
				t.Errorf("%d: event %+v", w.Code, e)
			}
			if client, claimed := strings.CutSuffix(tt.client, "?"); e.ClientID != client || e.Claimed != claimed {
				t.Errorf("the event names %q, claimed: %v", e.ClientID, e.Claimed)
			}
			if e.Err == nil || tt.cause != nil && !errors.Is(e.Err, tt.cause) {
				t.Errorf("cause %v, want %v", e.Err, tt.cause)
			}
			if e.ClientID != "" && (e.SecretID == "") != e.Claimed {
				t.Errorf("secret %q", e.SecretID)
			}
			if e.Audience != nil || e.Scopes != nil {
				t.Errorf("a refusal grants %v, %v", e.Audience, e.Scopes)
			}
		})
	}

	// The feed cannot be read, and then there is no current key.
	synctest.Test(t, func(t *testing.T) {
		keys, err := jwks.Open(t.Context(), &memoryKeys{}, hasty)
		if err != nil {
			t.Fatal(err)
		}
		store := &watched{Memory: newStore(t, app(), guard("all", "*"))}
		s := newService(t, Config{Store: store, Keys: keys})
		g := s.wantToken(t, s.post(appForm))
		s.postTo("/introspect", asks("all", g.token))
		store.does(at("Changes", down))
		time.Sleep(2 * time.Minute)
		e := s.took(t, func() { s.wantUnavailable(t, s.postTo("/introspect", asks("all", g.token))) })
		if e.Reason != event.RevocationsUnavailable || e.ClientID != "all" || e.TokenID != g.claims.ID || !errors.Is(e.Err, errDown) {
			t.Errorf("event %+v", e)
		}
		if err := keys.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(hasty.RotateEvery + hasty.Retain)
		for _, path := range []string{"/revoke", "/introspect"} {
			e := s.took(t, func() { s.wantUnavailable(t, s.postTo(path, about(g.token))) })
			if e.Reason != event.KeysUnavailable || e.ClientID != "app" || e.Claimed || !errors.Is(e.Err, jwks.ErrUnavailable) {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// A success is one event too: a grant with what was granted, an introspection or a
// revocation with the token. So are revocations by the program.
func TestEvents(t *testing.T) {
	store := &watched{Memory: newStore(t, app(), guard("all", "*"))}
	s := newService(t, Config{Store: store})
	var g *granted
	want := func(name string, got, want Event) {
		t.Helper()
		if got.Duration <= 0 {
			t.Errorf("%s took %v", name, got.Duration)
		}
		got.Duration = 0
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	secret := appStored.ID
	e := s.took(t, func() { g = s.wantToken(t, s.post(appForm+"&scope=orders:read")) })
	want("grant", e, Event{Op: event.OpToken, Status: 200, ClientID: "app", SecretID: secret, TokenID: g.claims.ID, Audience: []string{ordersAPI}, Scopes: []string{"orders:read"}})
	e = s.took(t, func() { s.postTo("/introspect", asks("all", g.token)) })
	want("introspection", e, Event{Op: event.OpIntrospect, Status: 200, ClientID: "all", SecretID: secret, TokenID: g.claims.ID})
	e = s.took(t, func() { s.postTo("/introspect", asks("all", "x")) })
	want("introspection of none", e, Event{Op: event.OpIntrospect, Status: 200, ClientID: "all", SecretID: secret})
	for range 2 {
		e = s.took(t, func() { s.postTo("/revoke", about(g.token)) })
		want("revocation", e, Event{Op: event.OpRevoke, Status: 200, ClientID: "app", SecretID: secret, TokenID: g.claims.ID})
	}
	e = s.took(t, func() { s.postTo("/revoke", about("x")) })
	want("revocation of none", e, Event{Op: event.OpRevoke, Status: 200, ClientID: "app", SecretID: secret})
	e = s.took(t, func() { revokeToken(t, s.issuer, "a", time.Now()) })
	want("by the program", e, Event{Op: event.OpRevoke, TokenID: "a"})
	e = s.took(t, func() {
		if err := s.issuer.RevokeClient(t.Context(), "app"); err != nil {
			t.Error(err)
		}
	})
	want("of a client", e, Event{Op: event.OpRevoke, Target: "app"})
	store.does(at("Revoke", down))
	e = s.took(t, func() {
		if err := s.issuer.RevokeClient(t.Context(), "app"); !errors.Is(err, errDown) {
			t.Error(err)
		}
	})
	if e.Op != event.OpRevoke || e.Target != "app" || e.Reason != event.StoreUnavailable || !errors.Is(e.Err, errDown) {
		t.Errorf("%+v", e)
	}
}
