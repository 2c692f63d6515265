package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// An error of the transport that quotes a proof, or a part of it, is withheld: a proof that
// has not arrived can still be used.
func TestQuotedProofsAreWithheld(t *testing.T) {
	auth := &server0{func(*http.Request) *http.Response {
		return answerOf(200, `{"access_token":"a","token_type":"DPoP","expires_in":3600}`)
	}}
	s := newSource(t, auth, func(c *Config) { c.DPoP = NewDPoPKey() })
	for name, quoted := range map[string]func(proof string) error{
		"whole":         func(proof string) error { return fmt.Errorf("sent %s", proof) },
		"the claims":    func(proof string) error { return fmt.Errorf("sent %s", strings.Split(proof, ".")[1]) },
		"the signature": func(proof string) error { return fmt.Errorf("sent %.40s", strings.Split(proof, ".")[2]) },
	} {
		base := roundTrip(func(r *http.Request) (*http.Response, error) { return nil, quoted(r.Header.Get("DPoP")) })
		if _, err := s.Transport(base).RoundTrip(mustRequest(t, testAPI)); !errors.Is(err, errQuotesToken) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	for _, cause := range []error{context.Canceled, errors.New("connection refused")} {
		base := roundTrip(func(*http.Request) (*http.Response, error) { return nil, cause })
		if _, err := s.Transport(base).RoundTrip(mustRequest(t, testAPI)); !errors.Is(err, cause) {
			t.Errorf("the error is %v, want %v", err, cause)
		}
	}
}
