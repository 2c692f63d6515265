package issuer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// granted is a token with its parts and the answer that it came in.
type granted struct {
	token   string
	header  string // decoded JSON
	payload string // decoded JSON, its signature verified
	answer  struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   int64   `json:"expires_in"`
		Scope       *string `json:"scope"`
	}
	claims struct {
		Issuer   string            `json:"iss"`
		Subject  string            `json:"sub"`
		Audience json.RawMessage   `json:"aud"`
		Expiry   int64             `json:"exp"`
		IssuedAt int64             `json:"iat"`
		ID       string            `json:"jti"`
		ClientID string            `json:"client_id"`
		Bound    map[string]string `json:"cnf"`
		Scope    *string           `json:"scope"`
	}
}

// scope returns the scope in the token, which the answer must repeat. "-" means none.
func (g *granted) scope(t *testing.T) string {
	t.Helper()
	claim, answer := "-", "-"
	if g.claims.Scope != nil {
		claim = *g.claims.Scope
	}
	if g.answer.Scope != nil {
		answer = *g.answer.Scope
	}
	if claim != answer {
		t.Errorf("the answer states scope %q, the token %q", answer, claim)
	}
	return claim
}

// wantToken checks that a token was granted, and verifies it as an API would.
func (s *service) wantToken(t *testing.T, w *httptest.ResponseRecorder) *granted {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	header := http.Header{
		"Cache-Control":  {"no-store"},
		"Content-Length": {strconv.Itoa(w.Body.Len())},
		"Content-Type":   {"application/json"},
		"Pragma":         {"no-cache"},
	}
	if !maps.EqualFunc(w.Header(), header, slices.Equal) {
		t.Errorf("headers %v, want %v", w.Header(), header)
	}
	g := &granted{}
	strict := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&g.answer); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	g.token = g.answer.AccessToken
	g.verify(t, s.keys)
	if e := s.lastEvent(t); e.Err != nil || e.Reason != "" || e.Status != 200 || e.Claimed || e.ClientID != g.claims.Subject || e.TokenID != g.claims.ID {
		t.Errorf("event %+v does not report this token", e)
	}
	return g
}

func (g *granted) verify(t *testing.T, keys jwks.Source) {
	t.Helper()
	jws, err := jose.Parse(g.token, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Key(t.Context(), jws.KeyID(), jws.Algorithm())
	if err != nil {
		t.Fatal(err)
	}
	if g.payload, err = jws.Verify(key); err != nil {
		t.Fatal(err)
	}
	if _, err := jose.ParseObject(g.payload); err != nil {
		t.Fatalf("%v: %s", err, g.payload)
	}
	if err := json.Unmarshal([]byte(g.payload), &g.claims); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(g.token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	g.header = string(decoded)
}
