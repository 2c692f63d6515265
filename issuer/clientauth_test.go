package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// hard returns ids and secrets that other implementations handled wrongly.
func hard() []string {
	all := make([]byte, 0, 95)
	for c := byte(' '); c <= '~'; c++ {
		all = append(all, c)
	}
	return []string{
		"plain", "a:b", ":", "with space", " ", "  both ends ", "100%", "%41", "%zz", "%", "a+b", "+", "a&b=c", "&", "=",
		`"quoted"`, `back\slash`, `\`, "semi;colon", "#?/@", "~!$'()*,[]{}|<>^`", string(all),
	}
}

// golang.org/x/oauth2 gets tokens, in both of its styles, with every hard id and secret.
func TestOAuth2Client(t *testing.T) {
	var clients []registry.Client
	for _, name := range hard() {
		c := app()
		c.ID, c.Secrets = name, []registry.Secret{quickHash(t, "s"+name)}
		clients = append(clients, c)
	}
	s := newService(t, Config{ImportedSecrets: true}, clients...)
	server := httptest.NewServer(s.app)
	defer server.Close()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, server.Client())

	for _, c := range clients {
		for style, auth := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "params": oauth2.AuthStyleInParams} {
			config := clientcredentials.Config{
				ClientID: c.ID, ClientSecret: "s" + c.ID, TokenURL: server.URL + "/token", AuthStyle: auth,
				Scopes: []string{"orders:read"}, EndpointParams: url.Values{"resource": {ordersAPI}},
			}
			token, err := config.Token(ctx)
			if err != nil {
				t.Errorf("%q in %s: %v", c.ID, style, err)
				continue
			}
			g := &granted{token: token.AccessToken}
			g.verify(t, s.keys)
			if g.claims.Subject != c.ID || g.claims.ClientID != c.ID || token.Type() != "Bearer" || token.Extra("scope") != "orders:read" {
				t.Errorf("%q in %s: sub %q, client_id %q, token %v", c.ID, style, g.claims.Subject, g.claims.ClientID, token)
			}
			if left := time.Until(token.Expiry); left < 14*time.Minute || left > 15*time.Minute {
				t.Errorf("%q in %s: expires in %v", c.ID, style, left)
			}

			config.ClientSecret = c.ID
			_, err = config.Token(ctx)
			refused := (*oauth2.RetrieveError)(nil)
			if !errors.As(err, &refused) || refused.ErrorCode != "invalid_client" || refused.Response.StatusCode != 401 {
				t.Errorf("%q in %s with a wrong secret: %v", c.ID, style, err)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	s := newService(t, Config{})
	const (
		grant     = "grant_type=client_credentials"
		malformed = "the Basic credentials are malformed: form-encode id and secret, join them with a colon, encode as base64"
		scheme    = "the Authorization header must use the Basic scheme; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"
		failed    = "client authentication failed"
		twice     = "more than one client authentication"
	)
	good := basic("app", appSecret)
	bare := strings.TrimPrefix(good, "Basic ")
	for name, tt := range map[string]struct {
		form          string
		authorization []string
		status        int
		description   string // "" means a token
	}{
		"Basic":                     {grant, []string{good}, 200, ""},
		"Basic not encoded":         {grant, []string{raw("app:" + appSecret)}, 200, ""}, // as curl -u sends it
		"basic":                     {grant, []string{"basic " + bare}, 200, ""},
		"BASIC":                     {grant, []string{"BASIC " + bare}, 200, ""},
		"two spaces":                {grant, []string{"Basic  " + bare}, 200, ""},
		"Basic and same client_id":  {grant + "&client_id=app", []string{good}, 200, ""},
		"Basic and an empty secret": {grant + "&client_secret=", []string{good}, 200, ""},
		"Basic and other client_id": {grant + "&client_id=other", []string{good}, 400, "client_id differs from the one in the Authorization header"},
		"Basic and a secret":        {grant + "&client_secret=x", []string{good}, 400, twice},
		"Basic and the form":        {appForm, []string{good}, 400, twice},
		"Bearer and the form":       {appForm, []string{"Bearer x"}, 400, twice},
		"empty header and the form": {appForm, []string{""}, 200, ""}, // an empty header is absent
		"blank header and the form": {appForm, []string{" \t"}, 200, ""},
		"Basic twice":               {grant, []string{good, good}, 400, "more than one Authorization header"},
		"Basic and Bearer":          {grant, []string{good, "Bearer x"}, 400, "more than one Authorization header"},
		"empty header and Basic":    {grant, []string{"", good}, 200, ""},
		"Bearer":                    {grant, []string{"Bearer " + bare}, 401, scheme},
		"no scheme":                 {grant, []string{bare}, 401, scheme},
		"empty header":              {grant, []string{""}, 401, "client authentication is missing; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"},
		"tab":                       {grant, []string{"Basic\t" + bare}, 401, scheme},
		"scheme alone":              {grant, []string{"Basic"}, 401, malformed},
		"scheme and space":          {grant, []string{"Basic "}, 401, malformed},
		"no colon":                  {grant, []string{raw("app")}, 401, malformed},
		"bad base64":                {grant, []string{"Basic !" + bare}, 401, malformed},
		"no padding":                {grant, []string{"Basic YTpi" + "Yg"}, 401, malformed},
		"trailing bits":             {grant, []string{"Basic YTpiYh=="}, 401, malformed},
		"two words":                 {grant, []string{good + " x"}, 401, malformed},
		"bad percent in the id":     {grant, []string{raw("app%zz:" + appSecret)}, 401, malformed},
		"bad percent in the secret": {grant, []string{raw("app:100%")}, 401, malformed},
		"no id":                     {grant, []string{basic("", appSecret)}, 401, failed},
		"no secret":                 {grant, []string{basic("app", "")}, 401, failed},
		"only a colon":              {grant, []string{raw(":")}, 401, failed},
		"wrong secret":              {grant, []string{basic("app", appSecret+"x")}, 401, failed},
		"NUL after the secret":      {grant, []string{basic("app", appSecret+"\x00")}, 401, failed},
		"NUL in the id":             {grant, []string{basic("app\x00", appSecret)}, 401, failed},
		"UTF-8 in the id":           {grant, []string{basic("äpp", appSecret)}, 401, failed},
		"secret not UTF-8":          {grant, []string{raw("app:\xff")}, 401, failed},
		"long id":                   {grant, []string{basic(strings.Repeat("a", 257), appSecret)}, 401, failed},
		"long secret":               {grant, []string{basic("app", strings.Repeat("a", 1025))}, 401, failed},
		"id in capitals":            {grant, []string{basic("APP", appSecret)}, 401, failed},
		"space after the id":        {grant, []string{basic("app ", appSecret)}, 401, failed},
		"form: NUL":                 {appForm + "%00", nil, 401, failed},
		"form: UTF-8":               {appForm + "%C3%A4", nil, 401, failed},
		"form: long id":             {form("grant_type", "client_credentials", "client_id", strings.Repeat("a", 257), "client_secret", "x"), nil, 401, failed},
		"form: long secret":         {form("grant_type", "client_credentials", "client_id", "app", "client_secret", strings.Repeat("a", 1025)), nil, 401, failed},
		"an assertion":              {grant + "&client_assertion=a.b.c&client_assertion_type=x", nil, 401, "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt"},
		"an assertion and a secret": {appForm + "&client_assertion=a.b.c", nil, 400, "more than one client authentication"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/token", strings.NewReader(tt.form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header["Authorization"] = tt.authorization
			w := s.send(r)
			switch tt.status {
			case 200:
				s.wantToken(t, w)
			case 400:
				s.wantError(t, w, 400, "invalid_request", tt.description)
			default:
				s.wantError(t, w, tt.status, "invalid_client", tt.description)
			}
		})
	}
}

func TestClientState(t *testing.T) {
	chosen, chosenStored := "m2m_chosen", quickHash(t, "m2m_chosen")
	for name, tt := range map[string]struct {
		change func(*registry.Client)
		method string // basic, form or "" for both
		want   error  // nil means a token
	}{
		"valid":                  {func(*registry.Client) {}, "", nil},
		"disabled":               {func(c *registry.Client) { c.Disabled = true }, "", errDisabled},
		"basic only, by header":  {func(c *registry.Client) { c.AuthMethod = "client_secret_basic" }, "basic", nil},
		"basic only, by form":    {func(c *registry.Client) { c.AuthMethod = "client_secret_basic" }, "form", errWrongMethod},
		"post only, by header":   {func(c *registry.Client) { c.AuthMethod = "client_secret_post" }, "basic", errWrongMethod},
		"post only, by form":     {func(c *registry.Client) { c.AuthMethod = "client_secret_post" }, "form", nil},
		"expired":                {func(c *registry.Client) { c.Secrets[0].ExpiresAt = time.Now() }, "", errWrongSecret},
		"expires":                {func(c *registry.Client) { c.Secrets[0].ExpiresAt = time.Now().Add(1) }, "", nil},
		"no secrets":             {func(c *registry.Client) { c.Secrets = nil }, "", errWrongSecret},
		"other id on the secret": {func(c *registry.Client) { c.Secrets[0].ID = "x" }, "", errWrongSecret},
		"hash of another secret": {func(c *registry.Client) { _, c.Secrets[0] = registry.GenerateSecret(); c.Secrets[0].ID = appStored.ID }, "", errWrongSecret},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := app()
				tt.change(&c)
				s := newService(t, Config{}, c)
				for method, w := range map[string]*httptest.ResponseRecorder{
					"form":  s.post(appForm),
					"basic": s.post("grant_type=client_credentials", "Authorization", basic("app", appSecret)),
				} {
					s.events = s.events[len(s.events)-1:]
					switch {
					case tt.method != "" && tt.method != method:
					case tt.want != nil:
						s.wantStatus(t, w, 401)
					default:
						s.wantStatus(t, w, 200)
					}
				}
				if tt.want != nil && tt.method == "" {
					s.wantCause(t, tt.want)
				}
			})
		})
	}

	// Several secrets of both kinds are valid at once, each until it expires.
	synctest.Test(t, func(t *testing.T) {
		next, nextStored := registry.GenerateSecret()
		old := appStored
		old.ExpiresAt = time.Now().Add(time.Hour)
		c := app()
		c.Secrets = []registry.Secret{old, nextStored, chosenStored}
		s := newService(t, Config{ImportedSecrets: true}, c)
		for _, plain := range []string{appSecret, next, chosen} {
			s.wantToken(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain)))
		}
		time.Sleep(time.Hour)
		s.wantUnauthorized(t, s.post(appForm), errWrongSecret)
		for _, plain := range []string{next, chosen} {
			s.wantToken(t, s.post("grant_type=client_credentials", "Authorization", basic("app", plain)))
		}
	})

	// Of several imported secrets, the last one that has not expired is valid.
	synctest.Test(t, func(t *testing.T) {
		last := quickHash(t, "last")
		last.ExpiresAt = time.Now().Add(time.Hour)
		c := app()
		c.Secrets = []registry.Secret{chosenStored, last}
		s := newService(t, Config{ImportedSecrets: true}, c)
		ask := func(plain string) int {
			return s.post("grant_type=client_credentials", "Authorization", basic("app", plain)).Code
		}
		if ask("last") != 200 || ask(chosen) != 401 {
			t.Error("not only the last one is valid")
		}
		time.Sleep(time.Hour)
		if ask("last") != 401 || ask(chosen) != 200 {
			t.Error("not only the last one that has not expired is valid")
		}
	})
}

// A failure of the store is never answered as the client's fault.
func TestStoreFails(t *testing.T) {
	down := errors.New("pq: connection refused")
	c := app()
	for name, tt := range map[string]struct {
		client *registry.Client
		err    error
		status int
		cause  error
	}{
		"down":                    {nil, down, 503, down},
		"down beside a client":    {&c, down, 503, down},
		"wrapped":                 {nil, fmt.Errorf("store: %w", down), 503, down},
		"deadline":                {nil, context.DeadlineExceeded, 503, context.DeadlineExceeded},
		"neither":                 {nil, nil, 503, nil},
		"not found":               {nil, registry.ErrNotFound, 401, errUnknownClient},
		"not found, wrapped":      {nil, fmt.Errorf("sqlstore: %w", registry.ErrNotFound), 401, errUnknownClient},
		"not found with a client": {&c, registry.ErrNotFound, 401, errUnknownClient},
	} {
		t.Run(name, func(t *testing.T) {
			asked := ""
			s := newService(t, Config{Store: storeFunc(func(_ context.Context, id string) (*registry.Client, error) {
				asked = id
				return tt.client, tt.err
			})})
			w := s.post(appForm)
			if tt.status == 503 {
				s.wantError(t, w, 503, "temporarily_unavailable", "try again in a moment")
			} else {
				s.wantUnauthorized(t, w, tt.cause)
			}
			if tt.cause != nil {
				s.wantCause(t, tt.cause)
			}
			if asked != "app" {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

// The store gets the request's context.
func TestStoreContext(t *testing.T) {
	type key struct{}
	got := any(nil)
	c := app()
	s := newService(t, Config{Store: storeFunc(func(ctx context.Context, _ string) (*registry.Client, error) {
		got = ctx.Value(key{})
		return &c, nil
	})})
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), key{}, "mine"), "POST", "/token", strings.NewReader(appForm))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.wantToken(t, s.send(r))
	if got != "mine" {
		t.Errorf("the context holds %v", got)
	}
}

// No secret and no token gets into an event, an error, a header or a body, wherever the
// caller sent it and however the request fails.
func TestNothingLeaks(t *testing.T) {
	const chosen = "hunter2-hunter2"
	c := app()
	c.Secrets = append(c.Secrets, quickHash(t, chosen))
	broken := errors.New("broken")
	refusing := newService(t, Config{Claims: func(context.Context, Grant) (map[string]any, error) { return nil, broken }, ImportedSecrets: true}, c)
	failing := newService(t, Config{Store: storeFunc(func(context.Context, string) (*registry.Client, error) { return nil, broken }), ImportedSecrets: true})
	granting := newService(t, Config{ImportedSecrets: true}, c)

	var requests []func(s *service) *httptest.ResponseRecorder
	for _, plain := range []string{appSecret, chosen} {
		good := form("grant_type", "client_credentials", "client_id", "app", "client_secret", plain)
		for _, body := range []string{
			good, good + "x", good + "&" + good, good + "&scope=nothing", good + "&resource=x", good + "&" + plain + "=%zz",
			strings.Replace(good, "=app", "=nobody", 1), strings.Replace(good, "client_credentials", plain, 1),
			good + "&" + form("scope", plain), good + "&" + form("scope", plain+`"`), good + "&" + form("resource", plain), good + "&" + form(plain, "1", plain, "2"),
		} {
			requests = append(requests, func(s *service) *httptest.ResponseRecorder { return s.post(body) })
		}
		for _, header := range []string{
			basic("app", plain), basic("app", plain+"x"), raw("app" + plain), "Basic " + plain, "Bearer " + plain, plain, raw("app:%" + plain),
		} {
			requests = append(requests, func(s *service) *httptest.ResponseRecorder {
				return s.post("grant_type=client_credentials", "Authorization", header)
			})
		}
		requests = append(requests, func(s *service) *httptest.ResponseRecorder {
			return s.get("POST", "/token?client_secret="+url.QueryEscape(plain), "Content-Type", "application/x-www-form-urlencoded")
		}, func(s *service) *httptest.ResponseRecorder {
			return s.get("GET", "/token?"+good)
		})
	}
	// Id and secret are swapped: a generated secret is recognised in the id.
	requests = append(requests, func(s *service) *httptest.ResponseRecorder {
		return s.post("grant_type=client_credentials", "Authorization", basic(appSecret, "app"))
	}, func(s *service) *httptest.ResponseRecorder {
		return s.post(form("grant_type", "client_credentials", "client_id", appSecret, "client_secret", appSecret))
	})

	for _, s := range []*service{granting, refusing, failing} {
		for _, request := range requests {
			w := request(s)
			private := []string{appSecret, appSecret[len("m2m_")+len(appStored.ID):], chosen, strings.TrimPrefix(appStored.Hash, "sha256:"), "argon2id"}
			if found := accessToken.FindStringSubmatch(w.Body.String()); found != nil {
				private = append(private, strings.Split(found[1], ".")[1:]...)
			} else {
				scan(t, "body", w.Body.String(), private)
			}
			scan(t, "header", fmt.Sprint(w.Header()), private)
			e := s.lastEvent(t)
			scan(t, "event", fmt.Sprintf("%+v %#v", e, e), private)
			for err := e.Err; err != nil; err = errors.Unwrap(err) {
				scan(t, "error", fmt.Sprintf("%v %+v", err, err), private)
			}
		}
	}
}

func scan(t *testing.T, where, text string, private []string) {
	t.Helper()
	for _, p := range private {
		if strings.Contains(text, p) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(p))) {
			t.Errorf("the %s holds %q: %s", where, p, text)
		}
	}
}
