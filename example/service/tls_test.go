package service

import (
	"bytes"
	"strings"
	"testing"
)

// TestOriginOfTLS holds what clients are told about the listener with TLS.
func TestOriginOfTLS(t *testing.T) {
	for _, tt := range []struct{ address, issuer, url, opened, want string }{
		{"127.0.0.1:0", "http://127.0.0.1:8080", "", "127.0.0.1:4711", "https://127.0.0.1:4711"},
		{"localhost:8443", "http://127.0.0.1:8080", "", "127.0.0.1:8443", "https://localhost:8443"},
		{":8443", "https://auth.example.com/path", "", "[::]:8443", "https://auth.example.com:8443"},
		{"0.0.0.0:443", "https://auth.example.com", "", "0.0.0.0:443", "https://auth.example.com"},
		{"[::]:8443", "http://127.0.0.1:8080", "", "[::]:8443", "https://127.0.0.1:8443"},
		{"[::1]:8443", "http://127.0.0.1:8080", "", "[::1]:8443", "https://[::1]:8443"},
		{":8443", "https://auth.example.com", "https://mtls.example.com", "[::]:8443", "https://mtls.example.com"},
	} {
		t.Setenv("TLS_URL", tt.url)
		if got := (Settings{TLSAddr: tt.address, Issuer: tt.issuer}).originOf(tt.opened); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// TestAPIURL holds which URL the proofs of requests to the API must have.
func TestAPIURL(t *testing.T) {
	for own, want := range map[string]string{
		"http://127.0.0.1:8081": "http://127.0.0.1:8081", "https://auth.example.com/path/": "https://auth.example.com", "none": "none",
	} {
		if got := (Settings{}).APIURL(own); got != want {
			t.Errorf("%s: %s", own, got)
		}
	}
	t.Setenv("API_URL", "https://api.example.com/prefix")
	if got := (Settings{}).APIURL("http://127.0.0.1:8081"); got != "https://api.example.com/prefix" {
		t.Errorf("API_URL: %s", got)
	}
}

// TestNonceSecret wants one secret for all replicas, and another one than the key it is
// derived from.
func TestNonceSecret(t *testing.T) {
	secret := func() []byte {
		t.Helper()
		got, err := nonceSecret()
		if err != nil || len(got) != 32 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		return got
	}
	if bytes.Equal(secret(), secret()) {
		t.Error("it is not random")
	}
	key := strings.Repeat("ab", 32)
	t.Setenv("KEY_ENCRYPTION_KEY", key+","+strings.Repeat("cd", 32))
	first := secret()
	if !bytes.Equal(first, secret()) || bytes.Equal(first, bytes.Repeat([]byte{0xab}, 32)) {
		t.Errorf("%x", first)
	}
	t.Setenv("DPOP_NONCE_SECRET", strings.Repeat("ef", 32))
	if !bytes.Equal(secret(), bytes.Repeat([]byte{0xef}, 32)) {
		t.Errorf("DPOP_NONCE_SECRET is not used")
	}
	for _, wrong := range []string{strings.Repeat("ef", 31), strings.Repeat("xy", 32)} {
		t.Setenv("DPOP_NONCE_SECRET", wrong)
		if _, err := nonceSecret(); err == nil || strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
