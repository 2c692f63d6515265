package issuertest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// times returns the times of a token; 0 if one is not there or no number.
func times(t *testing.T, token string) (exp, nbf, iat float64) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	exp, _ = claims["exp"].(float64)
	nbf, _ = claims["nbf"].(float64)
	iat, _ = claims["iat"].(float64)
	return exp, nbf, iat
}

// No token expires before it was issued or is valid: that would be a second fault.
func TestTimesAgree(t *testing.T) {
	t.Parallel()
	i := New(t)
	now := time.Now().Unix()
	for name, options := range map[string][]Option{
		"default": nil, "a minute": {Lifetime(time.Minute)}, "nbf": {Claim("nbf", now)}, "nbf, a minute": {Claim("nbf", now), Lifetime(time.Minute)},
	} {
		for _, fault := range timeFaults {
			token, err := i.mint(append([]Option{Bad(fault.Name)}, options...))
			if err != nil {
				t.Fatal(err)
			}
			if exp, nbf, iat := times(t, token); exp == 0 || iat == 0 || exp <= iat || exp <= nbf {
				t.Errorf("%s, %s: exp %.0f, nbf %.0f, iat %.0f", name, fault.Name, exp, nbf, iat)
			}
		}
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	i := New(t)
	g := newGuard(t, i.Bearer(""))
	for _, lifetime := range []time.Duration{-31 * time.Second, -time.Hour, -100 * 365 * 24 * time.Hour, math.MinInt64} {
		token := i.Token(t, Lifetime(lifetime))
		want(t, g, lifetime.String(), token, refuses, event.Expired)
		if exp, _, iat := times(t, token); exp-iat != defaultLifetime || iat < 0 {
			t.Errorf("%v: exp %.0f, iat %.0f", lifetime, exp, iat)
		}
	}
	for _, lifetime := range []time.Duration{0, time.Second, time.Hour, math.MaxInt64} { // 0: within the leeway
		want(t, g, lifetime.String(), i.Token(t, Lifetime(lifetime)), ok, "")
	}
	now := time.Now().Unix()
	if exp, _, iat := times(t, i.Token(t, Lifetime(-time.Hour), Lifetime(time.Hour))); iat < float64(now) || exp < float64(now+3599) {
		t.Errorf("the later lifetime: exp %.0f, iat %.0f", exp, iat)
	}
	if _, _, iat := times(t, i.Token(t, Lifetime(-time.Hour), Claim("iat", now-7200))); iat != float64(now-7200) {
		t.Errorf("iat of Claim: %.0f", iat)
	}
}

// A date is any number (RFC 7519, section 2). A fraction or an exponent is no fault.
func TestTimesAreNumbers(t *testing.T) {
	t.Parallel()
	i := New(t)
	g := newGuard(t, i.Bearer(""))
	second := time.Now().Unix()
	for name, written := range map[string]func(int64) string{"fraction": fraction, "exponent": exponent} {
		token := i.Token(t, Claim("exp", json.RawMessage(written(second+900))), Claim("nbf", json.RawMessage(written(second-60))), Claim("iat", json.RawMessage(written(second-60))))
		want(t, g, name, token, ok, "")
		i.Revoke(t, token)
		want(t, g, name+", revoked", token, refuses, event.Revoked)
	}
	if got := fmt.Sprint(fraction(1500000000), " ", exponent(1500000000)); got != "1500000000.5 1.5e+09" {
		t.Error(got)
	}
}
