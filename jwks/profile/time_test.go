package profile_test

import (
	"errors"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// The edges of a token's life, and what leeway, MaxAge and MaxLifetime do to them.
func TestTimes(t *testing.T) {
	s := shapes()[0]
	c := s.claims().with("iat", seconds(0)).with("nbf", seconds(10*time.Second)).with("exp", seconds(time.Hour))
	for _, tt := range []struct {
		name   string
		at     time.Duration
		leeway time.Duration
		maxAge time.Duration
		want   event.Reason
	}{
		{"before iat", -time.Nanosecond, 0, 0, event.NotYetValid},
		{"before nbf", 10*time.Second - 1, 0, 0, event.NotYetValid},
		{"at nbf", 10 * time.Second, 0, 0, ""},
		{"before nbf, leeway", 5 * time.Second, 5 * time.Second, 0, ""},
		{"before nbf, less leeway", 5*time.Second - 1, 5 * time.Second, 0, event.NotYetValid},
		{"before exp", time.Hour - 1, 0, 0, ""},
		{"at exp", time.Hour, 0, 0, event.Expired},
		{"at exp, leeway", time.Hour + 5*time.Second - 1, 5 * time.Second, 0, ""},
		{"after leeway", time.Hour + 5*time.Second, 5 * time.Second, 0, event.Expired},
		{"negative leeway", time.Hour - 1, -time.Minute, 0, ""},
		{"young", time.Minute - 1, 0, time.Minute, ""},
		{"old", time.Minute, 0, time.Minute, event.Expired},
		{"old, leeway", time.Minute + time.Second, 5 * time.Second, time.Minute, ""},
		{"exp before age", time.Hour, 0, 2 * time.Hour, event.Expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, want := s.profile, s.want
			p.MaxAge, want.Now, want.Leeway = tt.maxAge, now.Add(tt.at), tt.leeway
			id, err := verify(p, s.typ, "ES256", c, want)
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" {
				wantRefused(t, id, err, tt.want)
			}
			want.CallerChecksTime = true
			if id, err = verify(p, s.typ, "ES256", c, want); err != nil {
				t.Fatal(err)
			}
			var refused *profile.Error
			if err = id.Current(want.Now, tt.leeway); (err == nil) != (tt.want == "") || errors.As(err, &refused) && refused.Reason != tt.want {
				t.Errorf("Current says %v", err)
			}
		})
	}
}

// Without Want.Now the clock of the machine counts.
func TestNowIsTheDefault(t *testing.T) {
	s := shapes()[0]
	p, want := s.profile, s.want
	c := s.claims().with("iat", `1`)
	for exp, ok := range map[string]bool{`999999999999`: true, `2`: false} {
		id, err := p.Verify(token(s.typ, "ES256", c.with("exp", exp)), signers()["ES256"].Key(), want)
		if ok != (err == nil) {
			t.Errorf("exp %s: %v", exp, err)
		}
		if !ok {
			wantRefused(t, id, err, event.Expired)
		}
	}
}

// A token without iat, as SPIFFE allows: its rest of life is bounded instead.
func TestLifetimeWithoutIssuedAt(t *testing.T) {
	p := profile.SPIFFEDraft("a")
	want := profile.Want{Issuer: "https://a.example", Audiences: []string{"api"}}
	c := payload(`{"iss":"https://a.example","aud":"api","sub":"spiffe://a/b"}`)
	id, err := verify(p, "JOSE", "ES256", c.with("exp", seconds(time.Hour)), want)
	if err != nil || !id.IssuedAt.IsZero() || id.TokenID != "" {
		t.Errorf("%+v, %v", id, err)
	}
	for _, exp := range []string{seconds(time.Hour + time.Second), `999999999999`} {
		id, err = verify(p, "JOSE", "ES256", c.with("exp", exp), want)
		wantRefused(t, id, err, event.InvalidClaims)
	}
	p.MaxAge = time.Hour // no profile that Validate accepts
	id, err = verify(p, "JOSE", "ES256", c.with("exp", seconds(time.Minute)), want)
	wantRefused(t, id, err, event.InvalidClaims)
}

// A bound token needs a caller that checks the proof.
func TestBoundTokens(t *testing.T) {
	for _, s := range shapes() {
		c := s.claims().with("cnf", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`)
		if s.profile.Name == "keycloak" {
			c = c.with("typ", `"DPoP"`)
		}
		want := s.want
		id, err := verify(s.profile, s.typ, s.quick(), c, want)
		wantRefused(t, id, err, event.SenderConstrained)
		want.CallerChecksProof = true
		if id, err = verify(s.profile, s.typ, s.quick(), c, want); err != nil || !id.Claims.Has("cnf") {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// What a profile is asked to do without, and only that.
func TestInsecure(t *testing.T) {
	var cognito, kubernetes shape
	for _, s := range shapes() {
		switch s.profile.Name {
		case "cognito":
			cognito = s
		case "kubernetes":
			kubernetes = s
		}
	}
	p := profile.Cognito("")
	id, err := verify(p, cognito.typ, cognito.quick(), cognito.claims(), cognito.want)
	wantRefused(t, id, err, event.WrongAudience)
	p.InsecureNoAudience = true
	if _, err = verify(p, cognito.typ, cognito.quick(), cognito.claims(), cognito.want); err != nil {
		t.Error(err)
	}
	for _, aud := range []string{`"https://other.example"`, `[]`, `""`, `null`, `1`} { // one that is there counts
		id, err = verify(p, cognito.typ, cognito.quick(), cognito.claims().with("aud", aud), cognito.want)
		wantRefused(t, id, err, "")
	}

	p = profile.Kubernetes()
	shared := kubernetes.claims().with("sub", `"system:serviceaccount:my-namespace:default"`)
	id, err = verify(p, kubernetes.typ, kubernetes.quick(), shared, kubernetes.want)
	wantRefused(t, id, err, event.InvalidClaims)
	p.InsecureSharedSubjects = true
	if _, err = verify(p, kubernetes.typ, kubernetes.quick(), shared, kubernetes.want); err != nil {
		t.Error(err)
	}
}
