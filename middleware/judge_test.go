package middleware

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// A judgement says what the guard then answers, and the guard hears nothing of it.
func TestJudgeAgrees(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	h := newHolder(t, keys)
	a := newAPI(t, Config{
		Keys: keys, DPoP: &DPoP{BaseURL: testAudience},
		Revoked: func(_ context.Context, jti, _ string, _ time.Time) (bool, error) {
			switch jti {
			case "revoked":
				return true, nil
			case "unknown":
				return false, errors.New("the store is away")
			}
			return false, nil
		},
	})
	good := goodToken(t, keys)
	for name, tt := range map[string]struct {
		authorization []string
		proof         string
		reason        event.Reason
		token         bool
	}{
		"good":          {[]string{"Bearer " + good}, "", "", true},
		"none":          {nil, "", event.NoToken, false},
		"two":           {[]string{"Bearer " + good, "Bearer " + good}, "", event.MalformedRequest, false},
		"joined":        {[]string{"Bearer " + good + "," + good}, "", event.MalformedRequest, false},
		"junk":          {[]string{"Bearer x"}, "", event.MalformedToken, false},
		"bad signature": {[]string{"Bearer " + good[:len(good)-8] + "AAAAAAAA"}, "", event.BadSignature, false},
		"other issuer":  {[]string{"Bearer " + sign(t, keys, payload(map[string]string{"iss": `"x"`}))}, "", event.WrongIssuer, false},
		"expired":       {[]string{"Bearer " + sign(t, keys, payload(map[string]string{"exp": "1"}))}, "", event.Expired, true},
		"revoked":       {[]string{"Bearer " + sign(t, keys, payload(map[string]string{"jti": `"revoked"`}))}, "", event.Revoked, true},
		"not known":     {[]string{"Bearer " + sign(t, keys, payload(map[string]string{"jti": `"unknown"`}))}, "", event.RevocationsUnavailable, true},
		"proven":        {[]string{"DPoP " + h.token}, h.proof(t, "GET", "/"), "", true},
		"other proof":   {[]string{"DPoP " + h.token}, h.proof(t, "POST", "/"), event.InvalidProof, true},
		"no proof":      {[]string{"DPoP " + h.token}, "", event.InvalidProof, true},
		"stolen":        {[]string{"Bearer " + h.token}, "", event.SenderConstrained, true},
	} {
		r := request(http.MethodGet, "/", tt.authorization...)
		if tt.proof != "" {
			r.Header.Set("DPoP", tt.proof)
		}
		heard := len(a.events)
		for range 3 { // nothing is used up
			token, e := a.auth.Judge(r)
			if e.Reason() != tt.reason || (token != nil) != tt.token {
				t.Errorf("%s: judged %q (%v), with a token: %v", name, e.Reason(), errors.Unwrap(e), token != nil)
			}
		}
		if len(a.events) != heard {
			t.Errorf("%s: the judgement was reported", name)
		}
		w := a.send(r)
		if last := a.events[len(a.events)-1]; last.Reason != tt.reason || (w.Code == http.StatusOK) != (tt.reason == "") {
			t.Errorf("%s: answered %d because of %q, judged %q", name, w.Code, last.Reason, tt.reason)
		}
	}
}

// What is not judged, as the documentation says, and what an unusable Bearer does.
func TestJudgeLimits(t *testing.T) {
	t.Parallel()
	keys := newKeyring(t, ecKey)
	h := newHolder(t, keys)
	a := newAPI(t, Config{Keys: keys, DPoP: &DPoP{BaseURL: testAudience}, RequireBound: true})
	r := request(http.MethodGet, "/", "DPoP "+h.token)
	r.Header.Set("DPoP", h.proof(t, "GET", "/"))
	if w := a.send(r); w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, a.cause())
	}
	if _, e := a.auth.Judge(r); e != nil {
		t.Errorf("a proof that was used is judged: %v", e)
	}
	if _, e := a.auth.Judge(request(http.MethodGet, "/", "Bearer "+goodToken(t, keys))); e.Reason() != event.Unbound {
		t.Errorf("RequireBound is judged %q", e.Reason())
	}
	asking := newAPI(t, Config{Keys: sourceFunc(func(ctx context.Context, _ string) (*jose.Key, error) {
		if network, ok := ctx.Value(jwks.NetworkKey{}).(string); !ok || network != "" {
			t.Errorf("the network behind a proxy is %q", network)
		}
		return nil, jwks.ErrUnknownKey
	})})
	r = request(http.MethodGet, "/", "Bearer "+goodToken(t, keys))
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if _, e := asking.auth.Judge(r); e.Reason() != event.UnknownKey {
		t.Errorf("an unknown key is judged %q", e.Reason())
	}
	if len(asking.events) > 0 {
		t.Errorf("a proxy in front was reported: %v", asking.events)
	}
	if asking.send(r); len(asking.events) != 2 { // the guard reports it, and the refusal
		t.Errorf("the guard reported %v", asking.events)
	}
	var none *Bearer
	for _, b := range []*Bearer{none, {}} {
		if token, e := b.Judge(r); token != nil || e.Reason() != event.Misconfigured {
			t.Errorf("an unusable Bearer judges %v", e)
		}
	}
}
