package middleware

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenHoldsTheClaims(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	now := time.Now().Truncate(time.Second)
	tok := a.wantServed(t, sign(t, keys, payload(map[string]string{
		"sub": `"s1"`, "client_id": `"c1"`, "jti": `"j1"`,
		"aud":    `["https://other.example", "` + testAudience + `"]`,
		"iat":    strconv.FormatInt(now.Unix(), 10),
		"nbf":    strconv.FormatInt(now.Unix()-5, 10),
		"exp":    strconv.FormatInt(now.Unix()+60, 10) + ".75", // a NumericDate may have a fraction
		"tenant": `{"name":"acme","limits":[1,2]}`,
	})))
	if tok.Issuer != testIssuer || tok.Subject != "s1" || tok.ClientID != "c1" || tok.ID != "j1" {
		t.Errorf("token is %+v", tok)
	}
	if !slices.Equal(tok.Audience, []string{"https://other.example", testAudience}) {
		t.Errorf("audience is %q", tok.Audience)
	}
	if !slices.Equal(tok.Scopes, []string{"orders:read", "orders:write"}) {
		t.Errorf("scopes are %q", tok.Scopes)
	}
	if !tok.IssuedAt.Equal(now) || !tok.NotBefore.Equal(now.Add(-5*time.Second)) || !tok.ExpiresAt.Equal(now.Add(time.Minute)) {
		t.Errorf("times are %v, %v, %v", tok.IssuedAt, tok.NotBefore, tok.ExpiresAt)
	}
	var custom struct {
		Tenant struct {
			Name   string
			Limits []int
		}
	}
	if err := tok.Claims(&custom); err != nil || custom.Tenant.Name != "acme" || !slices.Equal(custom.Tenant.Limits, []int{1, 2}) {
		t.Errorf("custom claims are %+v, %v", custom, err)
	}
	if err := tok.Claims(custom); err == nil {
		t.Error("Claims decoded into something that is no pointer")
	}
}

func TestNilTokenHasNothing(t *testing.T) {
	var tok *Token
	if tok.HasScope("a") || tok.HasScope("") || (&Token{}).HasScope("") {
		t.Error("a scope out of nothing")
	}
	if err := tok.Claims(&struct{}{}); err == nil {
		t.Error("claims out of nothing")
	}
	if err := (&Token{}).Claims(&struct{}{}); err == nil {
		t.Error("claims out of an empty token")
	}
}

// TRAPS: claims of the wrong type, missing, duplicate; aud in all its forms; iss
// with a trailing slash; bound tokens taken for plain ones.
func TestClaimsRefused(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	a.wantServed(t, goodToken(t, keys))

	seconds := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	type refused struct{ claim, value, cause string }
	tests := []refused{
		{"iss", `"` + testIssuer + `/"`, "iss is"},
		{"iss", `"HTTPS://auth.example.com"`, "iss is"},
		{"iss", `"https://evil.example"`, "iss is"},
		{"iss", `["` + testIssuer + `"]`, "iss"},
		{"aud", `"https://other.example"`, "aud is"},
		{"aud", `"` + testAudience + `/"`, "aud is"},
		{"aud", `"` + testAudience + ` https://other.example"`, "aud is"},
		{"aud", `[]`, "aud is"},
		{"aud", `["https://other.example"]`, "aud is"},
		{"aud", `["` + testAudience + `",1]`, "aud"},
		{"aud", `[["` + testAudience + `"]]`, "aud"},
		{"aud", `{"0":"` + testAudience + `"}`, "aud"},
		{"exp", `0`, "exp: expired"},
		{"exp", seconds(-31 * time.Second), "exp: expired"},
		{"nbf", seconds(time.Minute), "nbf"},
		{"iat", seconds(time.Minute), "iat"},
		{"cnf", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, "cnf"},
		{"cnf", `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`, "cnf"},
		{"cnf", `{}`, "cnf"},
		{"cnf", `null`, "cnf"},
		{"scope", `["orders:read"]`, "scope"},
		{"scope", `null`, "scope"},
		{"scope", `1`, "scope"},
	}
	for _, claim := range []string{"iss", "aud", "exp", "iat", "sub", "client_id", "jti"} {
		cause := claim + " is missing"
		if claim == "aud" {
			cause = "aud is []"
		}
		tests = append(tests, refused{claim, "", cause})
	}
	for _, claim := range []string{"iss", "sub", "client_id", "jti"} {
		for _, value := range []string{`""`, `null`, `1`, `true`, `["a"]`, `{}`} {
			tests = append(tests, refused{claim, value, claim})
		}
	}
	for _, value := range []string{`""`, `null`, `1`, `true`} {
		tests = append(tests, refused{"aud", value, "aud"})
	}
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for _, value := range []string{`"` + seconds(time.Minute) + `"`, `""`, `true`, `null`, `[]`, `{}`, `1e30`, `1E13`, `-1E9`, `-1`, `99999999999999999999`, `9223372036854775807`} {
			tests = append(tests, refused{claim, value, claim})
		}
	}
	for _, tt := range tests {
		t.Run(tt.claim+"="+tt.value, func(t *testing.T) {
			a.wantInvalid(t, sign(t, keys, payload(map[string]string{tt.claim: tt.value})), tt.cause)
		})
	}
}

func TestPayloadsRefused(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	good := payload(nil)
	open := strings.TrimSuffix(good, "}")
	for name, doc := range map[string]string{
		"duplicate aud":         open + `,"aud":"` + testAudience + `"}`,
		"duplicate exp":         open + `,"exp":99999999999}`,
		"duplicate by escape":   open + `,"\u0065xp":99999999999}`,
		"duplicate of a custom": open + `,"x":1,"x":2}`,
		"something behind":      good + `{}`,
		"array":                 "[" + good + "]",
		"string":                `"` + testIssuer + `"`,
		"null":                  "null",
		"not JSON":              "iss=" + testIssuer,
		"trailing comma":        open + ",}",
		"invalid UTF-8":         open + ",\"x\":\"\xff\"}",
		"byte order mark":       "\ufeff" + good,
		"nested JWT":            goodToken(t, keys),
	} {
		t.Run(name, func(t *testing.T) { a.wantInvalid(t, sign(t, keys, doc), "jose: ") })
	}
}

func TestClaimsAccepted(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	for name, change := range map[string]map[string]string{
		"no scope":             {"scope": ""},
		"empty scope":          {"scope": `""`},
		"scp grants nothing":   {"scope": "", "scp": `["orders:read"]`},
		"one audience of two":  {"aud": `["https://other.example","` + testAudience + `"]`},
		"escaped":              {"iss": `"https:\/\/auth.example.com"`},
		"far future":           {"exp": "999999999999"},
		"scope with two space": {"scope": `"orders:read  orders:write "`},
	} {
		t.Run(name, func(t *testing.T) {
			tok := a.wantServed(t, sign(t, keys, payload(change)))
			if change["scope"] == "" && change["scp"] != "" && len(tok.Scopes) > 0 {
				t.Errorf("scopes are %q", tok.Scopes)
			}
			if slices.Contains(tok.Scopes, "") {
				t.Errorf("scopes are %q", tok.Scopes)
			}
		})
	}
}

// The edges of a token's life, to the nanosecond, and what leeway does to them.
func TestTimes(t *testing.T) {
	for _, tt := range []struct {
		name           string
		config, leeway time.Duration
	}{
		{"default leeway", 0, 30 * time.Second},
		{"own leeway", 5 * time.Second, 5 * time.Second},
		{"no leeway", time.Nanosecond, time.Nanosecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // its clock starts on a full second
				keys := newKeyring(t, ecKey)
				a := newAPI(t, Config{Keys: keys, Leeway: tt.config})
				start := time.Now()
				in := func(d time.Duration) string { return strconv.FormatInt(start.Add(d).Unix(), 10) }
				later := sign(t, keys, payload(map[string]string{"nbf": in(time.Minute), "iat": in(0)}))
				future := sign(t, keys, payload(map[string]string{"iat": in(time.Minute)}))
				short := sign(t, keys, payload(map[string]string{"exp": in(2 * time.Minute)}))
				until := func(d time.Duration) { time.Sleep(time.Until(start.Add(d))) }

				until(time.Minute - tt.leeway - 1)
				a.wantInvalid(t, later, "nbf")
				a.wantInvalid(t, future, "iat")
				until(time.Minute - tt.leeway)
				a.wantServed(t, later)
				a.wantServed(t, future)
				until(2*time.Minute + tt.leeway - 1)
				a.wantServed(t, short)
				until(2*time.Minute + tt.leeway)
				a.wantInvalid(t, short, "exp")
			})
		})
	}
}
