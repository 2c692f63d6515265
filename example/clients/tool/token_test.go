package tool

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestToken gets a token with a secret from each place.
func TestToken(t *testing.T) {
	t.Parallel()
	b := newAPIBench(t)
	operator := b.env["CLIENT_SECRET"]
	path := b.file("clients.json", `[{"client_id": "a", "audiences": ["`+apiURL+`", "https://b.example.com"], "scope": "x y"},
		{"client_id": "p", "audiences": ["`+apiURL+`"], "client_secret": "pass word%+", "token_endpoint_auth_method": "client_secret_post"}]`)
	secrets := b.dir + "/secrets.csv"
	b.do("apply", path, "-secrets", secrets)
	secret, err := secretOf(secrets, "a")
	if err != nil {
		t.Fatal(err)
	}
	plain := b.do("token", "a", "-secrets", secrets, "-resource", apiURL)
	if strings.Count(plain, ".") != 2 || strings.Count(plain, "\n") != 1 {
		t.Errorf("the token is %q", plain)
	}
	b.in = secret + "\n"
	var claims struct {
		Subject string `json:"sub"`
		Scope   string `json:"scope"`
	}
	if err := json.Unmarshal([]byte(b.do("token", "a", "-secret-file", "-", "-resource", apiURL, "-scope", "x", "-decode")), &claims); err != nil || claims.Subject != "a" || claims.Scope != "x" {
		t.Errorf("the claims are %+v, %v", claims, err)
	}
	answer := jsonOf[struct {
		granted
		Claims map[string]any `json:"claims"`
	}](b, Done, "token", "operator", "-decode")
	if answer.Token == "" || answer.ExpiresIn < 1 || answer.Claims["sub"] != "operator" {
		t.Errorf("%+v", answer)
	}
	b.do("token", "p", "-secret-file", b.file("p", "pass word%+\r\n"), "-post")
	for says, args := range map[string][]string{
		"there is no secret of":  {"token", "a"}, // CLIENT_ID is another client
		"write one of them":      {"token", "a", "-secrets", secrets, "-secret-file", "-"},
		"has no secret of \"b\"": {"token", "b", "-secrets", secrets},
		"there is no file":       {"token", "a", "-secrets", secrets + "x"},
		"invalid_target":         {"token", "a", "-secrets", secrets},
		"invalid_client":         {"token", "p", "-secret-file", b.file("p", "pass word%+")},
		"finding the token":      {"token", "operator", "-issuer", "http://127.0.0.1:1"},
	} {
		status, out, err := b.run(args...)
		if status != Failed || !strings.Contains(err, says) {
			t.Errorf("%q: status %d, %s%s, want %q", args, status, out, err, says)
		}
		if strings.Contains(out+err, secret) || strings.Contains(out+err, operator) {
			t.Errorf("%q shows a secret: %s%s", args, out, err)
		}
	}
	delete(b.env, "ISSUER")
	b.refused("ISSUER is not set", "token", "operator")
}
