package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// readers are the guard of package middleware and the profile RFC9068, which must read
// every token alike.
type readers struct {
	key       *jose.Signer
	guard     http.Handler
	audiences []string
	token     *bearer.Token // what the guard read last
	reason    event.Reason  // why it refused last
}

const apiIssuer, apiAudience = "https://auth.example.com", "https://api.example.com"

func newReaders(tb testing.TB, audiences ...string) *readers {
	tb.Helper()
	r := &readers{key: sure(jose.NewSigner(sure(jose.Generate("EdDSA")), "")), audiences: audiences}
	set := sure(jose.NewSet(r.key.Key()))
	config := bearer.Config{
		Issuer: apiIssuer, Audiences: audiences, Keys: jwks.NewFixed(set), CacheSize: -1, Leeway: time.Second,
		Observe: func(_ context.Context, e event.Event) { r.reason = e.Reason },
	}
	auth := sure(bearer.New(config))
	r.guard = auth.Handler(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		r.token = bearer.TokenFromContext(request.Context())
	}))
	return r
}

// compare gives a token to both.
func (r *readers) compare(tb testing.TB, typ, payload string) {
	tb.Helper()
	raw := sure(r.key.Sign(typ, []byte(payload)))
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Authorization", "Bearer "+raw)
	r.token, r.reason = nil, ""
	before := time.Now()
	r.guard.ServeHTTP(httptest.NewRecorder(), request)

	jws := sure(jose.Parse(raw, 0))
	p := profile.RFC9068()
	read := func(now time.Time) (profile.Identity, event.Reason) {
		id, err := p.Verify(&jws, r.key.Key(), profile.Want{Issuer: apiIssuer, Audiences: r.audiences, Leeway: time.Second, Now: now})
		var refused *profile.Error
		if err != nil && !errors.As(err, &refused) {
			tb.Fatalf("the error is a %T", err)
		}
		if err != nil {
			return id, refused.Reason
		}
		return id, ""
	}
	id, reason := read(before)
	if reason != r.reason {
		id, reason = read(time.Now()) // a second may have begun
	}
	if reason != r.reason || (r.token != nil) != (reason == "") {
		tb.Fatalf("the guard says %q, the profile %q of typ %q, %s", r.reason, reason, typ, payload)
	}
	if r.token == nil {
		return
	}
	t := r.token
	if id.Issuer != t.Issuer || id.Subject != t.Subject || id.ClientID != t.ClientID || id.TokenID != t.ID || !slices.Equal(id.Audience, t.Audience) ||
		!slices.Equal(id.Scopes, t.Scopes) || !id.IssuedAt.Equal(t.IssuedAt) || !id.Expires.Equal(t.ExpiresAt) || !id.NotBefore.Equal(t.NotBefore) {
		tb.Fatalf("the guard reads %+v, the profile %+v", t, id)
	}
}

func apiClaims() claims {
	at := time.Now().Unix()
	return payload(`{"iss":"` + apiIssuer + `","aud":"` + apiAudience + `","sub":"s","client_id":"c","jti":"j","iat":` + strconv.FormatInt(at, 10) +
		`,"exp":` + strconv.FormatInt(at+600, 10) + `,"scope":"orders:read orders:write"}`)
}

// The profile RFC9068 is as strict as the guard: same verdict, same reason, same values.
func TestRFC9068AsTheGuard(t *testing.T) {
	one, two := newReaders(t, apiAudience), newReaders(t, "https://old.example.com", apiAudience)
	good := apiClaims()
	one.compare(t, "at+jwt", good.String())
	if one.token == nil {
		t.Fatal("no token is good here")
	}
	at := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	values := []string{
		"", `null`, `true`, `0`, `1`, `-1`, `1e30`, `1.8e9`, `1.5`, `""`, `"a"`, `"a b"`, `" a  b "`, `"a\tb"`, `[]`, `["a"]`, `["a",1]`, `{}`, `[[]]`, `{"jkt":"a"}`,
		`"` + apiIssuer + `"`, `"` + apiIssuer + `/"`, `"https:\/\/auth.example.com"`, `"` + apiAudience + `"`, `["` + apiAudience + `"]`, `["x","` + apiAudience + `"]`, `["` + apiAudience + `",null]`, `["","` + apiAudience + `"]`,
		at(time.Hour), at(-time.Hour), `"` + at(time.Hour) + `"`, `999999999999`, `9999999999999`, at(time.Hour) + `.5`,
	}
	for _, r := range []*readers{one, two} {
		for _, claim := range []string{"iss", "aud", "sub", "client_id", "jti", "iat", "exp", "nbf", "scope", "cnf", "nonce", "at_hash", "events", "token_use", "typ", "roles"} {
			for _, value := range values {
				changed := good.with(claim, value)
				r.compare(t, "at+jwt", changed.String())
				for _, second := range []string{"iss", "aud", "exp", "scope", "cnf"} { // which of two faults is reported
					r.compare(t, "at+jwt", changed.with(second, `1`).String())
				}
			}
		}
		for _, typ := range []string{"", "JWT", "at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/at+JWT", "application/application/at+jwt", "at", "jwt+at", "x/at+jwt", "at+jwt/x", "application/"} {
			r.compare(t, typ, good.String())
			r.compare(t, typ, good.with("aud", `1`).String())
		}
		for _, document := range []string{"null", "[]", "{}", good.String() + "x", good.String()[1:], "\ufeff" + good.String()} {
			r.compare(t, "at+jwt", document)
		}
	}
}

// FuzzRFC9068AsTheGuard looks for a payload or a typ that the two read in two ways.
func FuzzRFC9068AsTheGuard(f *testing.F) {
	r := newReaders(f, apiAudience)
	good := apiClaims()
	f.Add("at+jwt", good.String())
	f.Add("application/at+jwt", good.with("aud", `["a","`+apiAudience+`"]`).with("scope", "").String())
	f.Add("JWT", good.with("nonce", `"n"`).String())
	f.Add("at+jwt", good.with("cnf", `{}`).with("exp", `0`).String())
	f.Fuzz(func(t *testing.T, typ, payload string) {
		raw, err := r.key.Sign(typ, []byte(payload))
		if err != nil || payload == "" || len(raw) > 8<<10 {
			return
		}
		if _, err := jose.Parse(raw, 0); err != nil {
			return
		}
		r.compare(t, typ, payload)
	})
}

// FuzzVerify holds what is accepted, with any profile, against what an Identity promises.
func FuzzVerify(f *testing.F) {
	all := shapes()
	for i := range all {
		f.Add(byte(i), all[i].typ, all[i].claims().String())
	}
	s := signers()["ES256"]
	f.Fuzz(func(t *testing.T, which byte, typ, payload string) {
		shape := &all[int(which)%len(all)]
		p := shape.profile
		p.Algorithms = nil
		raw, err := s.Sign(typ, []byte(payload))
		if err != nil || payload == "" {
			return
		}
		jws, err := jose.Parse(raw, 64<<10)
		if err != nil {
			return
		}
		want := shape.want
		want.Now = now
		id, err := p.Verify(&jws, s.Key(), want)
		if err != nil {
			wantRefused(t, id, err, "")
			return
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(payload), &claims); err != nil {
			t.Fatalf("accepted what is not JSON: %v", err)
		}
		switch {
		case id.Subject == "" || id.ClientID == "" || id.Issuer == "" || claims["iss"] != id.Issuer || claims["sub"] != id.Subject:
			t.Errorf("%+v", id)
		case !id.Expires.After(now) || id.IssuedAt.After(now) || id.NotBefore.After(now):
			t.Errorf("it is not valid now: %v, %v, %v", id.Expires, id.IssuedAt, id.NotBefore)
		case id.Claims.Has("cnf"):
			t.Error("a bound token was accepted")
		case p.Types[0] != "at+jwt" && typ != "at+jwt" && (id.Claims.Has("at_hash") || id.Claims.Has("nonce")):
			t.Error("an ID token was accepted")
		case len(id.Audience) > 0 && !slices.ContainsFunc(id.Audience, func(a string) bool { return slices.Contains(want.Audiences, a) }):
			t.Errorf("aud is %q", id.Audience)
		case len(id.Audience) == 0 && !slices.ContainsFunc(id.Scopes, func(s string) bool { return len(s) > len("orders/") && s[:len("orders/")] == "orders/" }):
			t.Errorf("neither audience nor scope: %q", id.Scopes)
		case slices.Contains(id.Scopes, "") || slices.Contains(id.Roles, ""):
			t.Errorf("an empty scope or role: %q, %q", id.Scopes, id.Roles)
		}
	})
}
