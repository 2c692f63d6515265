package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks"
)

type part struct{ err error }

func (p *part) Ready(context.Context) error { return p.err }

func TestReadiness(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	keys, store := new(part), new(part)
	ready := Ready(keys, store)
	ask := func(status int, body, says string) {
		t.Helper()
		logged.Reset()
		w := httptest.NewRecorder()
		ready.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != status || w.Body.String() != body+"\n" {
			t.Errorf("%d %s, want %d %s", w.Code, w.Body, status, body)
		}
		if got := logged.String(); (got == "") != (says == "") || !strings.Contains(got, says) {
			t.Errorf("logged %q, want %q", got, says)
		}
	}
	const ok, unavailable = `{"status":"ok"}`, `{"status":"unavailable"}`
	ask(200, ok, "")
	store.err = fmt.Errorf("%w: store: dial tcp 10.0.0.7:5432: refused", jwks.ErrUnavailable)
	ask(503, unavailable, "10.0.0.7")
	ask(503, unavailable, "")
	keys.err = errors.New("jwks: the key store cannot be written")
	ask(503, unavailable, "cannot be written")
	store.err = nil
	ask(200, ok, "trouble: jwks: the key store cannot be written")
	ask(200, ok, "")
	keys.err = nil
	ask(200, ok, "all is well again")
	ask(200, ok, "")
	keys.err = fmt.Errorf("issuer: the keyring is not ready: %w", errors.New("no answer"))
	store.err = fmt.Errorf("middleware: keys: %w", errors.New("no answer"))
	ask(200, ok, "no answer")
	if n := strings.Count(logged.String(), "no answer"); n != 1 {
		t.Errorf("one cause is told %d times: %s", n, logged.String())
	}
	ready.Stopping()
	ask(503, unavailable, "")
}
