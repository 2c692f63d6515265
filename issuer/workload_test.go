package issuer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/profile"
)

const (
	clusterURL = "https://cluster.example.com"
	billing    = "system:serviceaccount:billing:reports"
)

// workloads returns a client that is these workloads.
func workloads(list ...registry.Workload) registry.Client {
	c := app()
	c.ID, c.Secrets, c.Workloads = "reports", nil, list
	return c
}

func inCluster(subject string) registry.Workload {
	return registry.Workload{Issuer: clusterURL, Subject: subject, Audience: testIssuer}
}

// podToken returns the claims of a service account token, as Kubernetes writes them.
func podToken(subject string) claims {
	now := time.Now().Unix()
	return claims{
		"iss": clusterURL, "sub": subject, "aud": []string{testIssuer}, "iat": now, "nbf": now, "exp": now + 3600, "jti": fmt.Sprintf("jti-%s-%d", subject, time.Now().UnixNano()),
		"kubernetes.io": claims{"namespace": "billing", "serviceaccount": claims{"name": "reports", "uid": "1"}},
	}
}

func cluster(tb testing.TB, key pair) WorkloadIssuer {
	tb.Helper()
	return WorkloadIssuer{Issuer: clusterURL, Profile: profile.Kubernetes(), Keys: fixed(tb, key)}
}

func (p pair) token(tb testing.TB, c claims) string {
	tb.Helper()
	return p.sign(tb, claims{"alg": "ES256", "kid": p.public.ID()}.text(tb), c.text(tb))
}

// ofClient returns the form of a request with a workload's token.
func ofClient(id, token string) string { return asserted(token, "client_id", id) }

func TestWorkload(t *testing.T) {
	key, ours, other := newPair(t), newPair(t), newPair(t)
	c := workloads(inCluster(billing), registry.Workload{Issuer: clusterURL, Subject: billing, Audience: "https://second.example.com"})
	moving := keyed(t, "moving", ours)
	moving.Workloads = []registry.Workload{inCluster("system:serviceaccount:billing:moving")}
	shared := workloads(registry.Workload{Issuer: clusterURL, Subject: "system:serviceaccount:ci:*", Audience: testIssuer, InsecureSharedSubject: true})
	shared.ID = "shared"
	base := workloads(registry.Workload{Issuer: clusterURL, Subject: "system:serviceaccount:ci:default", Audience: testIssuer, InsecureSharedSubject: true})
	base.ID = "base"
	stranger := workloads(registry.Workload{Issuer: "https://unlisted.example.com", Subject: billing, Audience: testIssuer})
	stranger.ID = "unlisted"
	secretOnly := workloads(inCluster(billing))
	secretOnly.ID, secretOnly.AuthMethod, secretOnly.Secrets = "secret", registry.ClientSecretBasic, []registry.Secret{appStored}
	s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{cluster(t, key)}}, c, moving, shared, base, stranger, secretOnly, app())
	pod := func(changes claims) string { return key.token(t, podToken(billing).with(changes)) }

	for name, tt := range map[string]struct{ client, token string }{
		"usual":                      {"reports", pod(nil)},
		"aud a string":               {"reports", pod(claims{"aud": testIssuer})},
		"among other audiences":      {"reports", pod(claims{"aud": []string{"https://x.example.com", testIssuer}})},
		"another audience of record": {"reports", pod(claims{"aud": "https://second.example.com"})},
		"no jti":                     {"reports", pod(claims{"jti": nil})},
		"beside keys":                {"moving", key.token(t, podToken("system:serviceaccount:billing:moving"))},
		"wildcard":                   {"shared", key.token(t, podToken("system:serviceaccount:ci:build"))},
		"wildcard, default account":  {"shared", key.token(t, podToken("system:serviceaccount:ci:default"))},
		"default account":            {"base", key.token(t, podToken("system:serviceaccount:ci:default"))},
	} {
		t.Run(name, func(t *testing.T) {
			g := s.wantToken(t, s.post(ofClient(tt.client, tt.token)))
			if g.claims.ClientID != tt.client || g.claims.Subject != tt.client {
				t.Errorf("a token of %q", g.claims.ClientID)
			}
		})
	}
	s.wantToken(t, s.post(asserted(ours.assert(t, "moving", nil))))

	now := time.Now().Unix()
	for name, tt := range map[string]struct {
		client, token string
		reason        event.Reason
	}{
		"another subject":         {"reports", key.token(t, podToken("system:serviceaccount:billing:other")), event.BadAssertion},
		"subject in capitals":     {"reports", key.token(t, podToken(strings.ToUpper(billing))), event.BadAssertion},
		"subject that goes on":    {"reports", key.token(t, podToken(billing+"x")), event.BadAssertion},
		"wildcard as a subject":   {"reports", key.token(t, podToken("*")), event.BadAssertion},
		"wildcard, nothing more":  {"shared", key.token(t, podToken("system:serviceaccount:ci:")), event.BadAssertion},
		"wildcard, other prefix":  {"shared", key.token(t, podToken("system:serviceaccount:cix:build")), event.BadAssertion},
		"another audience":        {"reports", pod(claims{"aud": "https://x.example.com"}), event.BadAssertion},
		"no audience":             {"reports", pod(claims{"aud": nil}), event.BadAssertion},
		"another issuer":          {"reports", pod(claims{"iss": "https://x.example.com"}), event.BadAssertion},
		"issuer not listed":       {"unlisted", pod(claims{"iss": "https://unlisted.example.com"}), event.BadAssertion},
		"no subject":              {"reports", pod(claims{"sub": nil}), event.BadAssertion},
		"expired":                 {"reports", pod(claims{"iat": now - 4000, "nbf": now - 4000, "exp": now - 60}), event.Expired},
		"never expires":           {"reports", pod(claims{"exp": nil}), event.InvalidClaims},
		"lives for a year":        {"reports", pod(claims{"exp": now + 365*24*3600}), event.InvalidClaims},
		"from the future":         {"reports", pod(claims{"iat": now + 100, "nbf": now + 100}), event.NotYetValid},
		"an ID token":             {"reports", pod(claims{"nonce": "x"}), event.WrongTokenType},
		"bound to a key":          {"reports", pod(claims{"cnf": claims{"jkt": "x"}}), event.SenderConstrained},
		"an access token":         {"reports", key.sign(t, claims{"alg": "ES256", "kid": key.public.ID(), "typ": "at+jwt"}.text(t), podToken(billing).text(t)), event.WrongTokenType},
		"another key":             {"reports", other.sign(t, claims{"alg": "ES256", "kid": key.public.ID()}.text(t), podToken(billing).text(t)), event.BadSignature},
		"an unknown key":          {"reports", other.token(t, podToken(billing)), event.UnknownKey},
		"key of the client":       {"moving", ours.token(t, podToken("system:serviceaccount:billing:moving")), event.UnknownKey},
		"assertion by its key":    {"reports", key.assert(t, "reports", nil), event.UnknownKey},
		"unknown client":          {"nobody", pod(nil), event.UnknownClient},
		"client without":          {"app", pod(nil), event.BadAssertion},
		"another client":          {"moving", pod(nil), event.BadAssertion},
		"must use a secret":       {"secret", pod(nil), event.WrongMethod},
		"an id that cannot be":    {"\x00", pod(nil), event.MalformedCredential},
		"default account, no ask": {"reports", key.token(t, podToken("system:serviceaccount:billing:default")), event.BadAssertion},
	} {
		t.Run(name, func(t *testing.T) {
			s.wantError(t, s.post(ofClient(tt.client, tt.token)), 401, "invalid_client", "client authentication failed")
			if e := s.lastEvent(t); e.Reason != tt.reason {
				t.Errorf("reason %q (%v), want %q", e.Reason, e.Err, tt.reason)
			}
		})
	}
	s.wantError(t, s.post(asserted(pod(nil))), 400, "invalid_request", "client_id is missing: the token of a workload does not name the client")
}

// A client trusts one issuer. The same subject and audience of another trusted issuer is
// another workload.
func TestWorkloadOfAnotherTrustedIssuer(t *testing.T) {
	const secondURL = "https://second.example.com"
	key, other := newPair(t), newPair(t)
	second := cluster(t, other)
	second.Issuer = secondURL
	of := workloads(registry.Workload{Issuer: secondURL, Subject: billing, Audience: testIssuer})
	of.ID = "second"
	s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{cluster(t, key), second}}, workloads(inCluster(billing)), of)
	first := func() string { return key.token(t, podToken(billing)) }
	last := func() string { return other.token(t, podToken(billing).with(claims{"iss": secondURL})) }
	s.wantToken(t, s.post(ofClient("reports", first())))
	s.wantToken(t, s.post(ofClient("second", last())))
	s.wantUnauthorizedFor(t, "the second's token", s.post(ofClient("reports", last())), event.BadAssertion)
	s.wantUnauthorizedFor(t, "the first's token", s.post(ofClient("second", first())), event.BadAssertion)
	s.wantUnauthorizedFor(t, "iss of the first, key of the second", s.post(ofClient("reports", other.token(t, podToken(billing)))), event.UnknownKey)
}

// A store of the app may hold a record that no registry of ours takes. Its shared subject
// is refused all the same.
func TestWorkloadSharedSubjectOfAStore(t *testing.T) {
	key := newPair(t)
	const account = "system:serviceaccount:ci:default"
	for subject, reason := range map[string]event.Reason{account: event.InvalidClaims, "system:serviceaccount:ci:*": event.BadAssertion} {
		c := workloads(inCluster(subject))
		s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{cluster(t, key)}, Store: recordStore{newStore(t), c}})
		s.wantUnauthorizedFor(t, subject, s.post(ofClient("reports", key.token(t, podToken(account)))), reason)
		c.Workloads[0].InsecureSharedSubject = true
		s = newService(t, Config{WorkloadIssuers: []WorkloadIssuer{cluster(t, key)}, Store: recordStore{newStore(t), c}})
		s.wantToken(t, s.post(ofClient("reports", key.token(t, podToken(account)))))
	}
}

// recordStore has one more client, whose record it does not check.
type recordStore struct {
	registry.Store
	client registry.Client
}

func (s recordStore) Client(ctx context.Context, id string) (*registry.Client, error) {
	if id == s.client.ID {
		c := s.client
		return &c, nil
	}
	return s.Store.Client(ctx, id)
}

// One token gets so many access tokens, whichever replica is asked.
func TestWorkloadTokenIsUsedUp(t *testing.T) {
	key := newPair(t)
	for name, without := range map[string]claims{"by jti": nil, "by payload": {"jti": nil}} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, workloads(inCluster(billing)))
			from := cluster(t, key)
			from.MaxUses = 7
			replicas := []*service{
				newService(t, Config{Store: store, WorkloadIssuers: []WorkloadIssuer{from}}),
				newService(t, Config{Store: store, WorkloadIssuers: []WorkloadIssuer{from}}),
			}
			token := podToken(billing).with(without)
			got := 0
			for n := range 20 {
				s := replicas[n%2]
				if token["jti"] != nil {
					token["n"] = n // another token in all but its jti
				}
				w := s.post(ofClient("reports", key.token(t, token))) // a new signature each time
				if w.Code == 200 {
					got++
					continue
				}
				s.wantUnauthorized(t, w, errUsedUp)
				if e := s.lastEvent(t); e.Reason != event.ReplayedAssertion {
					t.Errorf("event %+v", e)
				}
			}
			if got != 7 {
				t.Errorf("%d access tokens, want 7", got)
			}
			replicas[0].wantToken(t, replicas[0].post(ofClient("reports", key.token(t, podToken(billing).with(claims{"jti": "next"})))))
		})
	}
}

// A token that is used up costs no write, and one replica tries each use once.
func TestWorkloadUsesCost(t *testing.T) {
	var calls int
	used := map[string]bool{}
	store := onceFunc{newStore(t), func(scope, id string, _ time.Time) (bool, error) {
		calls++
		first := !used[scope+id]
		used[scope+id] = true
		return first, nil
	}}
	u := newTokenUses(store, clusterURL, 5)
	for range 100 {
		u.take(t.Context(), "token", time.Now().Add(time.Hour))
	}
	if calls != 5 {
		t.Errorf("%d writes, want 5", calls)
	}
	fresh := newTokenUses(store, clusterURL, 5) // another replica
	for range 100 {
		if err := fresh.take(t.Context(), "token", time.Now().Add(time.Hour)); err == nil {
			t.Error("a used up token is used")
		}
	}
	if calls != 10 {
		t.Errorf("%d writes, want 10", calls)
	}
}

// A workload's token has its own limits of age, on top of its exp.
func TestWorkloadAge(t *testing.T) {
	key := newPair(t)
	synctest.Test(t, func(t *testing.T) {
		from := cluster(t, key)
		from.Profile.MaxAge = 10 * time.Minute
		s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{from}}, workloads(inCluster(billing)))
		token := key.token(t, podToken(billing))
		s.wantToken(t, s.post(ofClient("reports", token)))
		time.Sleep(10*time.Minute + 29*time.Second)
		s.wantToken(t, s.post(ofClient("reports", token)))
		time.Sleep(time.Second)
		s.wantStatus(t, s.post(ofClient("reports", token)), 401)
	})
}

// The keys of the issuer cannot be had: nobody is refused for it.
func TestWorkloadKeysFail(t *testing.T) {
	key := newPair(t)
	from := cluster(t, key)
	from.Keys = jwks.NewFixed(nil)
	s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{from}}, workloads(inCluster(billing)))
	for _, client := range []string{"reports", "nobody"} {
		s.wantUnavailable(t, s.post(ofClient(client, key.token(t, podToken(billing)))))
		if e := s.lastEvent(t); e.Reason != event.KeysUnavailable {
			t.Errorf("event %+v", e)
		}
	}
}

// Without Keys, the issuer's metadata leads to them.
func TestWorkloadKeysAreFound(t *testing.T) {
	key := newPair(t)
	at := newPublisher(t, key.public)
	set := at.set
	at.publish(nil, metadataOf(at, set))
	from := WorkloadIssuer{Issuer: at.URL, Profile: profile.Kubernetes()}
	s := newService(t, Config{WorkloadIssuers: []WorkloadIssuer{from}}, workloads(registry.Workload{Issuer: at.URL, Subject: billing, Audience: testIssuer}))
	s.wantToken(t, s.post(ofClient("reports", key.token(t, podToken(billing).with(claims{"iss": at.URL})))))
	if fetched := s.of(event.OpFetch); len(fetched) != 1 || fetched[0].URL != at.URL+"/keys" {
		t.Errorf("events of fetches: %+v", fetched)
	}
}

func TestWorkloadIssuersAreChecked(t *testing.T) {
	key := newPair(t)
	for name, tt := range map[string]struct {
		change func(*WorkloadIssuer)
		want   string
	}{
		"no issuer":        {func(w *WorkloadIssuer) { w.Issuer = "" }, "Issuer is missing"},
		"our own":          {func(w *WorkloadIssuer) { w.Issuer = testIssuer }, "Config.Issuer"},
		"two issuers":      {func(w *WorkloadIssuer) { w.Profile.Issuer = "https://x.example.com" }, "its Profile is for"},
		"zero profile":     {func(w *WorkloadIssuer) { w.Profile = profile.Profile{MaxLifetime: time.Hour} }, "Profile"},
		"no profile":       {func(w *WorkloadIssuer) { w.Profile = profile.Profile{} }, "Profile is missing"},
		"no limit of life": {func(w *WorkloadIssuer) { w.Profile.MaxLifetime = 0 }, "MaxLifetime"},
		"no audience":      {func(w *WorkloadIssuer) { w.Profile.InsecureNoAudience = true }, "aud"},
		"scope for aud":    {func(w *WorkloadIssuer) { w.Profile.ScopePrefix = "x/" }, "aud"},
		"no place of keys": {func(w *WorkloadIssuer) { w.Issuer, w.Keys = "spiffe://example.com", nil }, "Keys is missing"},
		"http":             {func(w *WorkloadIssuer) { w.Issuer, w.Keys = "http://cluster.example.com", nil }, "Keys is missing"},
		"nil keys":         {func(w *WorkloadIssuer) { w.Keys = (*jwks.Remote)(nil) }, "nil pointer"},
		"negative uses":    {func(w *WorkloadIssuer) { w.MaxUses = -1 }, "MaxUses"},
		"too many uses":    {func(w *WorkloadIssuer) { w.MaxUses = 1001 }, "MaxUses"},
		"twice":            {func(w *WorkloadIssuer) { w.Issuer = "https://earlier.example.com" }, "earlier entry"},
	} {
		t.Run(name, func(t *testing.T) {
			earlier, w := cluster(t, key), cluster(t, key)
			earlier.Issuer = "https://earlier.example.com"
			tt.change(&w)
			_, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: newStore(t, app()), WorkloadIssuers: []WorkloadIssuer{earlier, w}})
			if err == nil || !strings.HasPrefix(err.Error(), "issuer: Config.WorkloadIssuers[1].") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}

// A record that names an issuer which is not configured is told to the operator.
func TestWorkloadAdvice(t *testing.T) {
	f := fitted{maxTTL: time.Hour}
	c := workloads(inCluster(billing))
	if faults := f.faults(&c); len(faults) != 1 || !strings.Contains(faults[0], "Config.WorkloadIssuers") {
		t.Errorf("faults %q", faults)
	}
	f.trusted = map[string]*trustedIssuer{clusterURL: {}}
	if faults := f.faults(&c); len(faults) != 0 {
		t.Errorf("faults %q", faults)
	}
}

// A * at the end of a subject stands for at least one character, and only where the record
// allows shared subjects.
func TestWorkloadSubject(t *testing.T) {
	for _, tt := range []struct {
		record, token string
		shared, want  bool
	}{
		{"a:b", "a:b", false, true},
		{"a:b", "a:bc", false, false},
		{"a:b", "a:bc", true, false},
		{"a:*", "a:b", true, true},
		{"a:*", "a:*", true, true},
		{"a:*", "a:", true, false},
		{"a:*", "b:b", true, false},
		{"a:*", "a:b", false, false},
		{"*", "a", true, false},
		{"", "", false, false},
	} {
		w := registry.Workload{Subject: tt.record, InsecureSharedSubject: tt.shared}
		if got := isSubject(&w, tt.token); got != tt.want {
			t.Errorf("%q for %q, shared %v: %v", tt.token, tt.record, tt.shared, got)
		}
	}
}
