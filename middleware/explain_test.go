package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Each refusal names the check that failed: those before it have passed, and those after
// it were not reached. The answer of the guard is the same, and no part of the token is in
// the text.
func TestExplain(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	h := newHolder(t, keys)
	config := Config{
		Keys: sourceFunc(func(ctx context.Context, kid string) (*jose.Key, error) {
			if kid == "away" {
				return nil, jwks.ErrUnavailable
			}
			return keys.Key(ctx, kid, "")
		}),
		DPoP: &DPoP{BaseURL: testAudience},
		Revoked: func(_ context.Context, jti, _ string, _ time.Time) (bool, error) {
			if jti == "unknown" {
				return false, errors.Join(errors.New("the store is away"), errors.New("and its replica"))
			}
			return jti == "revoked", nil
		},
	}
	a := newAPI(t, config)
	other := newAPI(t, Config{Issuer: issuerB, Keys: keys})
	both, err := Any(a.auth, other.auth)
	if err != nil {
		t.Fatal(err)
	}
	many := (&api{Echo: a.Echo}).guardedBy(both)
	kid := kidOf(t, keys)
	good := goodToken(t, keys)
	for name, tt := range map[string]struct {
		token, failed string
		reason        event.Reason
	}{
		"good":           {good, "", ""},
		"empty":          {"", checkRequest, event.MalformedRequest},
		"two":            {good + " " + good, checkRequest, event.MalformedRequest},
		"junk":           {"x", checkForm, event.MalformedToken},
		"long":           {strings.Repeat("a", 17<<10), checkForm, event.MalformedToken},
		"type":           {forge(t, `{"alg":"ES256","typ":"JWT","kid":"`+kid+`"}`, payload(nil), ecKey), checkType, event.WrongTokenType},
		"unknown key":    {forge(t, `{"alg":"ES256","typ":"at+jwt","kid":"x"}`, payload(nil), ecKey), checkKey, event.UnknownKey},
		"keys away":      {forge(t, `{"alg":"ES256","typ":"at+jwt","kid":"away"}`, payload(nil), ecKey), checkKey, event.KeysUnavailable},
		"forged":         {forge(t, `{"alg":"ES256","typ":"at+jwt","kid":"`+kid+`"}`, payload(nil), strangeKey), checkSignature, event.BadSignature},
		"misspelt":       {good + "=", checkSignature, event.MalformedToken},
		"audience":       {sign(t, keys, payload(map[string]string{"aud": `"x"`})), checkClaims, event.WrongAudience},
		"client":         {sign(t, keys, payload(map[string]string{"client_id": ""})), checkClaims, event.InvalidClaims},
		"cnf":            {sign(t, keys, payload(bindTo(`"x5t#S256":"x"`))), checkClaims, event.SenderConstrained},
		"expired":        {sign(t, keys, payload(map[string]string{"exp": "1"})), checkTime, event.Expired},
		"tomorrow":       {sign(t, keys, payload(map[string]string{"nbf": "99999999999"})), checkTime, event.NotYetValid},
		"revoked":        {sign(t, keys, payload(map[string]string{"jti": `"revoked"`})), checkRevocation, event.Revoked},
		"not known":      {sign(t, keys, payload(map[string]string{"jti": `"unknown"`})), checkRevocation, event.RevocationsUnavailable},
		"bound":          {h.token, "", ""},
		"another issuer": {sign(t, keys, payload(map[string]string{"iss": `"https://evil.example.com"`})), checkClaims, event.WrongIssuer},
	} {
		for which, guard := range map[string]*api{"one": a, "Any": many} {
			heard := len(a.events)
			x := guard.auth.Explain(t.Context(), tt.token)
			if len(a.events) != heard {
				t.Errorf("%s: %s: it was reported", which, name)
			}
			failed, after := tt.failed, "passed"
			if which == "Any" && name == "another issuer" {
				failed = checkIssuer
			}
			if which == "Any" && name == "misspelt" {
				continue // found before the member is chosen or after it
			}
			for _, c := range x.Checks {
				want := after
				if c.Name == failed {
					want, after = "failed", "not reached"
				}
				if c.Name == checkBinding && name == "bound" {
					want = "not checked"
				}
				if c.Result != want || (c.Why != "") != (want == "failed" || want == "not checked") || c.Result == "failed" && c.Reason != tt.reason {
					t.Errorf("%s: %s: %+v, want %s", which, name, c, want)
				}
			}
			if x.Valid != (tt.failed == "") || tt.failed != "" && after == "passed" {
				t.Errorf("%s: %s:\n%s", which, name, x)
			}
			if valid := x.Valid && name != "bound"; tt.token != "" && (guard.get("/", "Bearer "+tt.token).Code == http.StatusOK) != valid {
				t.Errorf("%s: %s: the guard decides otherwise", which, name)
			}
			document, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{x.String(), string(document)} {
				for part := range strings.SplitSeq(tt.token, ".") {
					if len(part) > 20 && strings.Contains(text, part[len(part)-20:]) {
						t.Errorf("%s: %s: the token is echoed:\n%s", which, name, text)
					}
				}
			}
			if lines := strings.Count(x.String(), "\n"); name == "not known" && lines != 6+len(x.Checks) {
				t.Errorf("%d lines:\n%s", lines, x)
			}
		}
	}
	if x := new(Bearer).Explain(t.Context(), good); x.Valid || x.Checks[0].Reason != event.Misconfigured {
		t.Errorf("an unusable Bearer explains\n%s", x)
	}
	strict := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, RequireBound: true}).auth
	if x := strict.Explain(t.Context(), good); x.Valid || x.Checks[8].Name != checkBinding || x.Checks[8].Reason != event.Unbound {
		t.Errorf("a plain token where RequireBound is set:\n%s", x)
	}
	var none context.Context // must not panic
	if x := newAPI(t, Config{Keys: keys}).auth.Explain(none, good); !x.Valid || x.Checks[7].Result != "not checked" {
		t.Errorf("without revocation:\n%s", x)
	}
}

// The handler is guarded, whatever the app does, and takes the token from the body alone.
func TestExplainHandler(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	operator := "Bearer " + sign(t, keys, payload(map[string]string{"scope": `"tokens:explain"`, "jti": `"operator"`}))
	h := a.auth.ExplainHandler("tokens:explain")
	good := goodToken(t, keys)
	form := url.Values{"token": {good}}.Encode()
	post := func(h http.Handler, authorization, kind, accept, body string) (int, string) {
		r := request(http.MethodPost, "/explain?token=x", authorization)
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Accept", accept)
		r.Body = http.NoBody
		if body != "" {
			r.Body = readCloser{strings.NewReader(body)}
		}
		w := send(h, r)
		return w.Code, w.Body.String()
	}
	const kind = "application/x-www-form-urlencoded"
	r := request(http.MethodPost, "/explain", operator)
	r.Header.Set("Content-Type", kind)
	r.Body = readCloser{strings.NewReader(form)}
	if w := send(h, r); w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("an explanation may be cached: %v", w.Header())
	}
	if code, body := post(h, operator, kind, "", form); code != http.StatusOK || !strings.Contains(body, `"valid": true`) || !strings.Contains(body, `"jti": "id-1"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := post(h, operator, kind+"; charset=utf-8", "text/plain", form); code != http.StatusOK || !strings.HasPrefix(body, "the token is valid\n") {
		t.Errorf("%d %s", code, body)
	}
	for name, tt := range map[string]struct {
		h                         http.Handler
		authorization, kind, body string
		want                      int
	}{
		"no token":             {h, "", kind, form, 401},
		"without the scope":    {h, "Bearer " + good, kind, form, 403},
		"without any scope":    {a.auth.ExplainHandler(""), operator, kind, form, 403},
		"of the zero Bearer":   {new(Bearer).ExplainHandler("tokens:explain"), operator, kind, form, 500},
		"JSON":                 {h, operator, "application/json", `{"token":"x"}`, 400},
		"no body":              {h, operator, kind, "", 400},
		"two":                  {h, operator, kind, form + "&" + form, 400},
		"an empty one":         {h, operator, kind, "token=+", 400},
		"a body that is large": {h, operator, kind, "token=" + strings.Repeat("a", maxExplained), 400},
		"a body that is wrong": {h, operator, kind, "token=%zz", 400},
	} {
		if code, body := post(tt.h, tt.authorization, tt.kind, "", tt.body); code != tt.want || strings.Contains(body, "aaaa") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if w := ask(h, http.MethodGet, "/explain?token="+good, operator); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
