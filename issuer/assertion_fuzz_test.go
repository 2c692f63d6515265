package issuer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/profile"
)

// forgery is a header and a payload that are signed by the client's own key.
type forgery struct{ header, payload string }

// FuzzAssertion signs any header and any payload with the right key. What is accepted is
// an assertion by the rules of this test, which reads it with encoding/json, and its
// second use is refused.
func FuzzAssertion(f *testing.F) {
	key := newPair(f)
	s := newService(f, Config{MaxGrantRate: -1, WorkloadIssuers: []WorkloadIssuer{{Issuer: clusterURL, Profile: profile.Kubernetes(), Keys: fixed(f, key)}}}, keyed(f, "keyed", key))
	now := time.Now().Unix()
	header := key.header().text(f)
	var seeds []forgery
	for _, changes := range []claims{
		nil, {"aud": []string{testIssuer}}, {"aud": testIssuer + "/token"}, {"aud": []string{testIssuer, "x"}}, {"iss": "other"}, {"jti": ""}, {"jti": nil},
		{"exp": nil}, {"exp": now + 1e9}, {"iat": now + 1e6}, {"nbf": now + 1e6}, {"exp": "1"}, {"iat": nil}, {"sub": nil}, {"iss": clusterURL, "sub": billing},
	} {
		seeds = append(seeds, forgery{header, assertionOf("keyed").with(changes).text(f)})
	}
	for _, h := range []claims{{"typ": "at+jwt"}, {"typ": nil}, {"kid": nil}, {"crit": []string{"exp"}}, {"alg": "none"}, {"jwk": claims{}}, {"typ": "application/JWT"}, {"b64": false}} {
		seeds = append(seeds, forgery{key.header().with(h).text(f), assertionOf("keyed").text(f)})
	}
	seeded(f, seeds, func(c forgery) { f.Add(c.header, c.payload) })
	f.Fuzz(func(t *testing.T, header, payload string) {
		assertion := key.sign(t, header, payload)
		who, _, err := s.issuer.authenticate(requestWith(t, asserted(assertion)))
		if (err == nil) != (who.client != nil) || err != nil && err.Status != 401 && err.Status != 400 {
			t.Fatalf("client %v and error %v", who.client, err)
		}
		if err != nil {
			return
		}
		if problem := notAssertion(header, payload); problem != "" {
			t.Fatalf("accepted, and %s: %s %s", problem, header, payload)
		}
		if err := who.spend(t.Context()); err == nil {
			if err := who.spend(t.Context()); err == nil {
				t.Fatal("accepted twice")
			}
		}
	})
}

// notAssertion returns why it is no assertion of the client keyed, or "".
func notAssertion(header, payload string) string {
	var h struct {
		Alg, Typ string
		Crit     any
	}
	var p struct {
		Iss, Sub, Jti string
		Aud           json.RawMessage
		Exp, Iat, Nbf *float64
	}
	if json.Unmarshal([]byte(header), &h) != nil || json.Unmarshal([]byte(payload), &p) != nil {
		return "it is no JSON"
	}
	typ := strings.TrimPrefix(strings.ToLower(h.Typ), "application/")
	now := float64(time.Now().Unix())
	switch {
	case h.Alg != "ES256" || h.Crit != nil:
		return "the header is wrong"
	case !slices.Contains([]string{"", "jwt", "client-authentication+jwt"}, typ):
		return "typ is wrong"
	case p.Iss != "keyed" || p.Sub != "keyed":
		return "it is of another client"
	case p.Jti == "":
		return "it has no jti"
	case string(p.Aud) != `"`+testIssuer+`"` && !isList(p.Aud, testIssuer):
		return "aud is wrong"
	case p.Exp == nil || *p.Exp < now-12 || *p.Exp > now+312:
		return "exp is wrong"
	case p.Iat != nil && (*p.Iat > now+12 || *p.Exp-*p.Iat > 301):
		return "iat is wrong"
	case p.Nbf != nil && *p.Nbf > now+12:
		return "nbf is wrong"
	}
	return ""
}

func isList(raw json.RawMessage, only string) bool {
	var one string
	var list []string
	return json.Unmarshal(raw, &list) == nil && len(list) == 1 && list[0] == only || json.Unmarshal(raw, &one) == nil && one == only
}

// FuzzAssertionText sends any text as an assertion. It never gets a token: nobody but the
// client has its key.
func FuzzAssertionText(f *testing.F) {
	key, other := newPair(f), newPair(f)
	s := newService(f, Config{}, keyed(f, "keyed", key))
	good := other.assert(f, "keyed", claims{"exp": time.Now().Unix() + 300})
	seeded(f, []string{good, "", "a.b.c", good[:len(good)-1], good + ".", "..", strings.Replace(good, ".", "..", 1), "\x00", strings.Repeat("a.", 40)}, func(text string) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		who, _, err := s.issuer.authenticate(request{http: newForm("/token", ""), form: parameters{clientAssertion: text, assertionType: assertionType}})
		if err == nil || who.client != nil || err.Status != 401 {
			t.Fatalf("%q: %v, %v", text, who.client, err)
		}
	})
}
