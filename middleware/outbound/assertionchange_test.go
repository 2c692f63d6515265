package outbound

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// A new token in the file of a workload is tried at the next call, as a new secret is, and
// not only after the delay of the refusal.
func TestChangedWorkloadTokenEndsTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := ""
		auth := &server{answer: func(_ *http.Request, form url.Values) *http.Response {
			tried = form.Get("client_assertion")
			if tried != "new.right.token" {
				return answerOf(401, `{"error":"invalid_client"}`)
			}
			return answerOf(200, `{"access_token":"token-1","token_type":"Bearer","expires_in":3600}`)
		}}
		path := textFile(t, "old.wrong.token")
		s := newSource(t, auth, func(c *Config) { c.Secret, c.Assertion = nil, WorkloadToken(path) })
		for _, step := range []struct {
			text, tried string
			requests    int
		}{
			{"old.wrong.token", "old.wrong.token", 1},
			{"old.wrong.token", "old.wrong.token", 1},
			{"half", "old.wrong.token", 1},
			{"other.wrong.token", "other.wrong.token", 2},
			{"new.right.token", "new.right.token", 3},
		} {
			write(t, path, step.text)
			time.Sleep(secretPoll)
			for range 20 {
				_, _ = s.Token(t.Context())
			}
			if tried != step.tried || auth.count() != step.requests {
				t.Errorf("%s: %q was tried last, with %d requests, want %q and %d", step.text, tried, auth.count(), step.tried, step.requests)
			}
		}
		wantToken(t, s, "token-1")
	})
}

// So is a new certificate, with which the client authenticates.
func TestChangedCertificateEndsTheDelay(t *testing.T) {
	server, renewed := newStrict(t), newCertificate(t, later())
	server.know(renewed)
	dir := t.TempDir()
	certificate, key := dir+"/tls.crt", dir+"/tls.key"
	writePair(t, newCertificate(t, later()), certificate, key)
	s := server.source(func(c *Config) { c.Certificate = CertificateFiles(certificate, key) })
	if err := s.Ready(t.Context()); err == nil || !s.family.backoff.slow {
		t.Fatalf("a certificate that the server does not know: %v", err)
	}
	writePair(t, renewed, certificate, key)
	s.family.fetcher.refusals.mu.Lock()
	s.family.fetcher.refusals.polled = time.Now().Add(-secretPoll)
	s.family.fetcher.refusals.mu.Unlock()
	wantToken(t, s, "token-1")
}
