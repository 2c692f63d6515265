package issuer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// What private_key_jwt allows (RFC 7523, section 3).
func TestAssertionAccepted(t *testing.T) {
	key, older := newPair(t), newPair(t)
	c := keyed(t, "keyed", key, older)
	withSecret := keyed(t, "moving", key)
	withSecret.Secrets = []registry.Secret{appStored}
	only := keyed(t, "only", key)
	only.AuthMethod = registry.PrivateKeyJWT
	s := newService(t, Config{}, c, withSecret, only)
	now := time.Now().Unix()
	for name, assertion := range map[string]string{
		"usual":             key.assert(t, "keyed", nil),
		"the other key":     older.assert(t, "keyed", nil),
		"aud in an array":   key.assert(t, "keyed", claims{"aud": []string{testIssuer}}),
		"typ of RFC 10070":  key.sign(t, key.header().with(claims{"typ": "client-authentication+jwt"}).text(t), assertionOf("keyed").text(t)),
		"typ as media type": key.sign(t, key.header().with(claims{"typ": "application/Client-Authentication+JWT"}).text(t), assertionOf("keyed").text(t)),
		"no typ":            key.sign(t, key.header().with(claims{"typ": nil}).text(t), assertionOf("keyed").text(t)),
		"no kid":            key.sign(t, key.header().with(claims{"kid": nil}).text(t), assertionOf("keyed").text(t)),
		"no iat":            key.assert(t, "keyed", claims{"iat": nil}),
		"nbf":               key.assert(t, "keyed", claims{"nbf": now}),
		"five minutes":      key.assert(t, "keyed", claims{"iat": now, "exp": now + 300}),
		"exp with a point":  key.assert(t, "keyed", claims{"exp": float64(now) + 60.5}),
		"other claims":      key.assert(t, "keyed", claims{"scope": "x", "cnf": claims{"jkt": "x"}}),
		"a long jti":        key.assert(t, "keyed", claims{"jti": strings.Repeat("é\x00", 1000)}),
		"method named":      key.assert(t, "only", nil),
		"beside a secret":   key.assert(t, "moving", nil),
	} {
		t.Run(name, func(t *testing.T) {
			g := s.wantToken(t, s.post(asserted(assertion)))
			if e := s.lastEvent(t); e.ClientID != g.claims.ClientID || e.Claimed || e.SecretID != "" {
				t.Errorf("event %+v", e)
			}
		})
	}
	s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil), "client_id", "keyed")))
	s.wantToken(t, s.post(form("grant_type", "client_credentials", "client_id", "moving", "client_secret", appSecret)))

	// The other endpoints take it too.
	g := s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil))))
	about := func() string {
		return form("client_assertion_type", assertionType, "client_assertion", key.assert(t, "keyed", nil), "token", g.token)
	}
	if w := s.postTo("/introspect", about()); w.Code != 200 {
		t.Errorf("introspection: %d %s", w.Code, w.Body)
	}
	if w := s.postTo("/revoke", about()); w.Code != 200 || !s.revoked(t, g) {
		t.Errorf("revocation: %d %s", w.Code, w.Body)
	}
}

// Each algorithm of package jose.
func TestAssertionAlgorithms(t *testing.T) {
	for _, alg := range jose.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			private, err := jose.Generate(alg)
			if err != nil {
				t.Fatal(err)
			}
			signer, err := jose.NewSigner(private, alg)
			if err != nil {
				t.Fatal(err)
			}
			c := app()
			c.ID, c.Secrets, c.JWKS = "keyed", nil, keySetOf(t, signer.Key())
			s := newService(t, Config{}, c)
			assertion, err := signer.Sign("JWT", []byte(assertionOf("keyed").text(t)))
			if err != nil {
				t.Fatal(err)
			}
			s.wantToken(t, s.post(asserted(assertion)))
			// An unknown client costs a check of the same kind.
			if key := dummyKey(alg); key == nil || key.Algorithm() != alg {
				t.Fatalf("the key without an owner is %v", key)
			}
			jws, err := jose.Parse(assertion, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jws.Verify(dummyKey(alg)); err == nil || strings.Contains(err.Error(), "its key is for") {
				t.Errorf("checked with a key without an owner: %v", err)
			}
		})
	}
}

// Every refusal is the same answer, whatever is wrong. The reason is for the operator.
func TestAssertionRefused(t *testing.T) {
	key, other := newPair(t), newPair(t)
	disabled, secretOnly, broken := keyed(t, "disabled", key), keyed(t, "secret", key), keyed(t, "broken", key)
	disabled.Disabled = true
	secretOnly.AuthMethod, secretOnly.Secrets = registry.ClientSecretBasic, []registry.Secret{appStored}
	broken.JWKS = []byte(`{"keys":[{"kty":"EC","kid":"` + key.public.ID() + `"}]}`)
	s := newService(t, Config{}, keyed(t, "keyed", key), keyed(t, "neighbour", other), disabled, secretOnly, broken, app())
	now := time.Now().Unix()
	changed := func(c claims) string { return key.assert(t, "keyed", c) }
	header := func(c claims) string {
		return key.sign(t, key.header().with(c).text(t), assertionOf("keyed").text(t))
	}
	good := changed(nil)
	parts := strings.Split(good, ".")
	for name, tt := range map[string]struct {
		assertion string
		reason    event.Reason
	}{
		"aud of the token endpoint":     {changed(claims{"aud": testIssuer + "/token"}), event.BadAssertion},
		"aud with a slash behind it":    {changed(claims{"aud": testIssuer + "/"}), event.BadAssertion},
		"aud in capitals":               {changed(claims{"aud": strings.ToUpper(testIssuer)}), event.BadAssertion},
		"aud of two":                    {changed(claims{"aud": []string{testIssuer, "https://other.example.com"}}), event.BadAssertion},
		"aud twice":                     {changed(claims{"aud": []string{testIssuer, testIssuer}}), event.BadAssertion},
		"aud empty":                     {changed(claims{"aud": []string{}}), event.BadAssertion},
		"aud missing":                   {changed(claims{"aud": nil}), event.BadAssertion},
		"aud null":                      {key.sign(t, key.header().text(t), strings.Replace(assertionOf("keyed").text(t), `"aud":"`+testIssuer+`"`, `"aud":null`, 1)), event.BadAssertion},
		"aud a number":                  {changed(claims{"aud": 1}), event.BadAssertion},
		"aud of another issuer":         {changed(claims{"aud": "https://other.example.com"}), event.BadAssertion},
		"sub of another":                {changed(claims{"sub": "neighbour"}), event.BadAssertion},
		"iss of another":                {changed(claims{"iss": "neighbour"}), event.BadAssertion},
		"iss missing":                   {changed(claims{"iss": nil}), event.BadAssertion},
		"sub missing":                   {changed(claims{"sub": nil}), event.BadAssertion},
		"iss and sub missing":           {changed(claims{"iss": nil, "sub": nil}), event.MalformedCredential},
		"iss a list":                    {changed(claims{"iss": []string{"keyed"}}), event.MalformedCredential},
		"jti missing":                   {changed(claims{"jti": nil}), event.BadAssertion},
		"jti empty":                     {changed(claims{"jti": ""}), event.BadAssertion},
		"jti a number":                  {changed(claims{"jti": 7}), event.BadAssertion},
		"exp missing":                   {changed(claims{"exp": nil}), event.BadAssertion},
		"exp a string":                  {changed(claims{"exp": fmt.Sprint(now + 60)}), event.BadAssertion},
		"exp passed":                    {changed(claims{"iat": now - 60, "exp": now - 11}), event.BadAssertion},
		"exp in a year":                 {changed(claims{"exp": now + 365*24*3600}), event.BadAssertion},
		"exp in a year, without iat":    {changed(claims{"iat": nil, "exp": now + 365*24*3600}), event.BadAssertion},
		"exp a year after iat":          {changed(claims{"iat": now - 365*24*3600}), event.BadAssertion},
		"iat ahead":                     {changed(claims{"iat": now + 30}), event.BadAssertion},
		"iat a string":                  {changed(claims{"iat": "now"}), event.BadAssertion},
		"nbf ahead":                     {changed(claims{"nbf": now + 30}), event.BadAssertion},
		"nbf a string":                  {changed(claims{"nbf": "now"}), event.BadAssertion},
		"typ of an access token":        {header(claims{"typ": "at+jwt"}), event.BadAssertion},
		"typ of a DPoP proof":           {header(claims{"typ": "dpop+jwt"}), event.BadAssertion},
		"typ of a logout token":         {header(claims{"typ": "logout+jwt"}), event.BadAssertion},
		"alg none":                      {header(claims{"alg": "none"}), event.MalformedCredential},
		"alg of another key":            {header(claims{"alg": "RS256"}), event.UnknownKey},
		"crit":                          {header(claims{"crit": []string{"exp"}}), event.MalformedCredential},
		"unknown kid":                   {header(claims{"kid": "other"}), event.UnknownKey},
		"key in the header":             {other.sign(t, other.header().with(claims{"jwk": claims{"kty": "EC"}}).text(t), assertionOf("keyed").text(t)), event.UnknownKey},
		"another's key":                 {other.sign(t, key.header().text(t), assertionOf("keyed").text(t)), event.BadSignature},
		"another's key, no kid":         {other.sign(t, key.header().with(claims{"kid": nil}).text(t), assertionOf("keyed").text(t)), event.BadSignature},
		"signature of another":          {parts[0] + "." + parts[1] + "." + strings.Split(changed(nil), ".")[2], event.BadSignature},
		"two iss":                       {key.sign(t, key.header().text(t), strings.Replace(assertionOf("keyed").text(t), "{", `{"iss":"neighbour",`, 1)), event.MalformedCredential},
		"two parts":                     {parts[0] + "." + parts[1], event.MalformedCredential},
		"five parts":                    {good + ".eyJ4.eyJ5", event.MalformedCredential},
		"padded":                        {good + "=", event.BadSignature},
		"no JSON":                       {key.sign(t, key.header().text(t), "keyed"), event.MalformedCredential},
		"a JSON array":                  {key.sign(t, key.header().text(t), "[]"), event.MalformedCredential},
		"larger than 16 KiB":            {changed(claims{"x": strings.Repeat("x", 16<<10)}), event.MalformedCredential},
		"unknown client":                {key.assert(t, "nobody", nil), event.UnknownClient},
		"an id that cannot be":          {key.assert(t, "ümlaut", nil), event.MalformedCredential},
		"client with a secret":          {key.assert(t, "app", nil), event.UnknownKey},
		"disabled client":               {key.assert(t, "disabled", nil), event.ClientDisabled},
		"client that must use a secret": {key.assert(t, "secret", nil), event.WrongMethod},
		"unusable key":                  {key.assert(t, "broken", nil), event.UnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.post(asserted(tt.assertion))
			s.wantError(t, w, 401, "invalid_client", "client authentication failed")
			e := s.lastEvent(t)
			if e.Reason != tt.reason {
				t.Errorf("reason %q (%v), want %q", e.Reason, e.Err, tt.reason)
			}
			scan(t, "error", fmt.Sprint(e.Err), strings.Split(tt.assertion, ".")[1:])
		})
	}
	s.wantError(t, s.post(asserted(header(claims{"alg": "HS256"}))), 401, "invalid_client",
		"client_secret_jwt is not accepted; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt")
	if e := s.lastEvent(t); e.Reason != event.WrongMethod {
		t.Errorf("client_secret_jwt: reason %q (%v)", e.Reason, e.Err)
	}
	s.wantError(t, s.post(asserted(changed(claims{"iss": nil, "sub": nil}), "client_id", "keyed")), 401, "invalid_client", "client authentication failed")
	s.wantError(t, s.post(asserted(changed(nil), "client_id", "neighbour")), 400, "invalid_request", "client_id differs from the one in the assertion")
	s.wantError(t, s.post(asserted(changed(nil), "client_id", "keyed", "client_secret", "x")), 400, "invalid_request", "more than one client authentication")
	s.wantError(t, s.post(asserted(changed(nil)), "Authorization", basic("app", appSecret)), 400, "invalid_request", "more than one client authentication")
	s.wantToken(t, s.post(asserted(good))) // nothing of this has used it up
	s.wantToken(t, s.post(asserted(other.assert(t, "neighbour", nil))))
}

// An unusable entry of a set costs its neighbours nothing, and its reason is told.
func TestAssertionUnusableNeighbour(t *testing.T) {
	key := newPair(t)
	c := keyed(t, "keyed", key)
	c.JWKS = []byte(strings.Replace(string(c.JWKS), `[`, `[{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"},`, 1))
	s := newService(t, Config{}, c)
	s.wantToken(t, s.post(asserted(key.assert(t, "keyed", nil))))
	s.post(asserted(key.sign(t, claims{"alg": "RS256", "kid": "weak"}.text(t), assertionOf("keyed").text(t))))
	if e := s.lastEvent(t); e.Reason != event.UnknownKey || !strings.Contains(e.Err.Error(), "cannot be used") {
		t.Errorf("event %+v does not say why the key is skipped", e)
	}
}

// Without a kid a few keys are tried, and no more.
func TestAssertionWithoutKeyID(t *testing.T) {
	keys := []pair{newPair(t), newPair(t), newPair(t), newPair(t)}
	s := newService(t, Config{}, keyed(t, "few", keys[:3]...), keyed(t, "many", keys...))
	unnamed := keys[2].header().with(claims{"kid": nil}).text(t)
	s.wantToken(t, s.post(asserted(keys[2].sign(t, unnamed, assertionOf("few").text(t)))))
	s.wantUnauthorized(t, s.post(asserted(keys[2].sign(t, unnamed, assertionOf("many").text(t)))), errNoClientKey)
	s.wantToken(t, s.post(asserted(keys[2].assert(t, "many", nil))))
}

func TestRequireAssertionType(t *testing.T) {
	key := newPair(t)
	s := newService(t, Config{RequireAssertionType: true}, keyed(t, "keyed", key))
	s.wantUnauthorized(t, s.post(asserted(key.assert(t, "keyed", nil))), errWrongType)
	s.wantUnauthorized(t, s.post(asserted(key.sign(t, key.header().with(claims{"typ": nil}).text(t), assertionOf("keyed").text(t)))), errWrongType)
	s.wantToken(t, s.post(asserted(key.sign(t, key.header().with(claims{"typ": "client-authentication+jwt"}).text(t), assertionOf("keyed").text(t)))))
}

// The limits of the times, to the second.
func TestAssertionTimes(t *testing.T) {
	key := newPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{}, keyed(t, "keyed", key))
		now := time.Now().Unix()
		for name, tt := range map[string]struct {
			claims claims
			want   int
		}{
			"iat 10 s ahead":            {claims{"iat": now + 10}, 200},
			"iat 11 s ahead":            {claims{"iat": now + 11}, 401},
			"nbf 10 s ahead":            {claims{"nbf": now + 10}, 200},
			"nbf 11 s ahead":            {claims{"nbf": now + 11}, 401},
			"expired 9 s ago":           {claims{"iat": now - 60, "exp": now - 9}, 200},
			"expired 10 s ago":          {claims{"iat": now - 60, "exp": now - 10}, 401},
			"5 min from iat":            {claims{"iat": now - 200, "exp": now + 100}, 200},
			"more than that":            {claims{"iat": now - 200, "exp": now + 101}, 401},
			"5 min 10 s from now":       {claims{"iat": nil, "exp": now + 310}, 200},
			"more than that, no iat":    {claims{"iat": nil, "exp": now + 311}, 401},
			"5 min by a clock ahead":    {claims{"iat": now + 10, "exp": now + 310}, 200},
			"5 min and 1 s, also ahead": {claims{"iat": now + 10, "exp": now + 311}, 401},
		} {
			if w := s.post(asserted(key.assert(t, "keyed", tt.claims))); w.Code != tt.want {
				t.Errorf("%s: status %d, want %d", name, w.Code, tt.want)
			}
		}
	})
}

// An assertion is valid once. A refused one leaves no record, so nobody can use up the
// jti of another.
func TestAssertionReplayed(t *testing.T) {
	key, other := newPair(t), newPair(t)
	s := newService(t, Config{}, keyed(t, "keyed", key), keyed(t, "other", other))
	const jti = "the same"
	forged := other.sign(t, key.header().text(t), assertionOf("keyed").with(claims{"jti": jti}).text(t))
	s.wantStatus(t, s.post(asserted(forged)), 401)
	s.wantStatus(t, s.post(asserted(key.assert(t, "keyed", claims{"jti": jti, "aud": "https://other.example.com"}))), 401)
	s.wantToken(t, s.post(asserted(other.assert(t, "other", claims{"jti": jti}))))

	first := key.assert(t, "keyed", claims{"jti": jti})
	s.wantToken(t, s.post(asserted(first)))
	for name, again := range map[string]string{
		"the same assertion":             first,
		"its other signature":            mirrored(first, key),
		"another one with the same jti":  key.assert(t, "keyed", claims{"jti": jti, "x": 1}),
		"one with an escape in the jti":  key.sign(t, key.header().text(t), strings.Replace(assertionOf("keyed").with(claims{"jti": jti}).text(t), `the same`, `the\u0020same`, 1)),
		"with another typ in the header": key.sign(t, key.header().with(claims{"typ": nil}).text(t), assertionOf("keyed").with(claims{"jti": jti}).text(t)),
	} {
		t.Run(name, func(t *testing.T) {
			s.wantUnauthorized(t, s.post(asserted(again)), errReplayed)
			if e := s.lastEvent(t); e.Reason != event.ReplayedAssertion || e.ClientID != "keyed" || e.Claimed {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// mirrored returns the token with the other form of its ECDSA signature.
func mirrored(token string, key pair) string {
	cut := strings.LastIndexByte(token, '.') + 1
	signature, _ := base64.RawURLEncoding.DecodeString(token[cut:])
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(key.private.Params().N, s).FillBytes(signature[32:])
	return token[:cut] + base64.RawURLEncoding.EncodeToString(signature)
}

// onceFunc is a store whose Once is the func.
type onceFunc struct {
	*registry.Memory
	once func(scope, id string, until time.Time) (bool, error)
}

func (o onceFunc) Once(_ context.Context, scope, id string, until time.Time) (bool, error) {
	return o.once(scope, id, until)
}

// The record is kept as long as any replica accepts the assertion, by the clock of a store
// that is ahead by as much as is allowed. The jti is kept as a hash, per client.
func TestAssertionRecord(t *testing.T) {
	key := newPair(t)
	var scope, id string
	var until time.Time
	store := onceFunc{newStore(t, keyed(t, "keyed", key)), func(s, i string, u time.Time) (bool, error) {
		scope, id, until = s, i, u
		return true, nil
	}}
	s := newService(t, Config{Store: store})
	exp := time.Now().Add(time.Minute).Truncate(time.Second)
	s.wantToken(t, s.post(asserted(key.assert(t, "keyed", claims{"exp": exp.Unix(), "jti": "a\x00b"}))))
	if least := exp.Add(assertionLeeway + registry.MaxClockSkew + storeTimeout); until.Before(least) || until.After(least.Add(time.Minute)) {
		t.Errorf("kept until %v, want a little more than %v", until, least)
	}
	if scope != "assertion:keyed" || len(id) != 43 || strings.Contains(id, "a") && strings.Contains(id, "\x00") {
		t.Errorf("recorded as %q %q", scope, id)
	}
}

// A store that fails or hangs is no first use.
func TestAssertionStoreFails(t *testing.T) {
	key := newPair(t)
	broken := errors.New("broken")
	fail := true
	store := onceFunc{newStore(t, keyed(t, "keyed", key)), nil}
	store.once = func(scope, id string, until time.Time) (bool, error) {
		if fail {
			return true, broken // true means nothing beside an error
		}
		return store.Memory.Once(t.Context(), scope, id, until)
	}
	s := newService(t, Config{Store: store})
	assertion := key.assert(t, "keyed", nil)
	s.wantUnavailable(t, s.post(asserted(assertion)))
	s.wantCause(t, broken)
	if e := s.lastEvent(t); e.Reason != event.StoreUnavailable {
		t.Errorf("event %+v", e)
	}
	fail = false
	s.wantToken(t, s.post(asserted(assertion)))
}

// Authentication alone uses nothing up: a client that must send its request again with
// another nonce sends the same assertion.
func TestAssertionNotSpentBefore(t *testing.T) {
	key := newPair(t)
	s := newService(t, Config{}, keyed(t, "keyed", key))
	assertion := key.assert(t, "keyed", nil)
	for range 3 {
		who, _, err := s.issuer.authenticate(requestWith(t, asserted(assertion)))
		if err != nil {
			t.Fatal(err)
		}
		if who.consume == nil {
			t.Fatal("nothing to spend")
		}
	}
	s.wantToken(t, s.post(asserted(assertion)))
	s.wantUnauthorized(t, s.post(asserted(assertion)), errReplayed)
}

func requestWith(t *testing.T, body string) request {
	t.Helper()
	r := newForm("/token", body)
	p, err := readParameters(r)
	if err != nil {
		t.Fatal(err)
	}
	return request{http: r, form: p, address: r.RemoteAddr}
}

// One client can record so many assertions and no more, because each record is kept for
// minutes.
func TestAssertionRate(t *testing.T) {
	key := newPair(t)
	synctest.Test(t, func(t *testing.T) {
		records := 0
		store := onceFunc{newStore(t, keyed(t, "keyed", key), app()), func(string, string, time.Time) (bool, error) {
			records++
			return true, nil
		}}
		s := newService(t, Config{Store: store, MaxGrantRate: 5})
		var last *httptest.ResponseRecorder
		for range 30 {
			last = s.postTo("/introspect", form("client_assertion_type", assertionType, "client_assertion", key.assert(t, "keyed", nil), "token", "x"))
		}
		if last.Code != 429 || last.Header().Get("Retry-After") == "" || records != 10 {
			t.Errorf("status %d, %d records, want 429 after 10", last.Code, records)
		}
		s.wantToken(t, s.post(appForm)) // another client
	})
}

// A credential that expires while its request waits, as on a machine that is suspended, is
// refused: its record would end at once, and a second request would be a first one.
func TestAssertionExpiresOnTheWay(t *testing.T) {
	key := newPair(t)
	for name, tt := range map[string]struct {
		body func() string
		life time.Duration
	}{
		"assertion": {func() string { return asserted(key.assert(t, "keyed", nil)) }, time.Minute + assertionLeeway},
		"workload":  {func() string { return ofClient("keyed", key.token(t, podToken(billing))) }, time.Hour + workloadLeeway},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := keyed(t, "keyed", key)
				c.Workloads = []registry.Workload{inCluster(billing)}
				s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{cluster(t, key)}}, c)
				end := time.Unix(time.Now().Unix(), 0).Add(tt.life)
				who, _, err := s.issuer.authenticate(requestWith(t, tt.body()))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(end) - time.Nanosecond)
				if err := who.spend(t.Context()); err != nil {
					t.Errorf("right before its end: %v", err.Unwrap())
				}
				time.Sleep(time.Nanosecond)
				if err := who.spend(t.Context()); err == nil || err.Status != 401 || errors.Is(err, errReplayed) {
					t.Errorf("at its end: %v", err)
				}
			})
		})
	}
}

// A wrong signature costs the same work whether there is such a client and such a key or
// not. A signature check makes many allocations, and they can be counted.
func TestAssertionSameWork(t *testing.T) {
	key, other := newPair(t), newPair(t)
	disabled, secretOnly := keyed(t, "disabled", key), keyed(t, "secret", key)
	disabled.Disabled, secretOnly.AuthMethod = true, registry.ClientSecretBasic
	s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{cluster(t, key)}}, keyed(t, "keyed", key), disabled, secretOnly, app(), workloads(inCluster(billing)))
	cost := func(body string) float64 {
		q := requestWith(t, body)
		return testing.AllocsPerRun(20, func() {
			if _, _, err := s.issuer.authenticate(q); err == nil || err.Status != 401 {
				t.Errorf("not refused: %v", err)
			}
		})
	}
	forged := func(id string, header claims) string {
		return asserted(other.sign(t, key.header().with(header).text(t), assertionOf(id).text(t)))
	}
	pod := func(id, subject string) string {
		return ofClient(id, other.sign(t, claims{"alg": "ES256", "kid": key.public.ID()}.text(t), podToken(subject).text(t)))
	}
	jws, err := jose.Parse(key.assert(t, "keyed", nil), 0)
	if err != nil {
		t.Fatal(err)
	}
	check := testing.AllocsPerRun(20, func() { _, _ = jws.Verify(dummyKey("ES256")) })
	if check < 8 {
		t.Skipf("a signature check makes %v allocations, too few to tell", check)
	}
	for want, others := range map[string][]string{
		forged("keyed", nil): {
			forged("keyed", claims{"kid": "unknown"}), forged("nobody", nil), forged("app", nil), forged("disabled", nil), forged("secret", nil), forged("reports", nil),
		},
		pod("reports", billing): {pod("reports", "system:serviceaccount:billing:other"), pod("nobody", billing), pod("app", billing), pod("keyed", billing)},
	} {
		known := cost(want)
		for n, body := range others {
			if got := cost(body); got < known-check/2 || got > known+check/2 {
				t.Errorf("%d: %v allocations, and %v for a wrong signature of a client that there is", n, got, known)
			}
		}
	}
}
