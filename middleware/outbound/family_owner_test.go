package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// full makes as many tokens as a family may have, with a lifetime of a minute.
func full(t *testing.T, s *Source) {
	t.Helper()
	for i := range maxCells {
		wantAny(t, s.For(testAPI, fmt.Sprint("scope", i)))
	}
}

// A Source whose cell was evicted shares its token again, and Close ends it.
func TestEvictedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 60}
		s := newSource(t, auth, nil)
		evicted := s.For(testAPI, "evicted")
		wantAny(t, evicted)
		time.Sleep(time.Hour)
		full(t, s)
		if _, err := evicted.Token(t.Context()); !errors.Is(err, errManyCells) {
			t.Errorf("one token more than may be in use: %v", err)
		}
		time.Sleep(time.Hour) // makes room

		before := auth.count()
		token, err := s.For(testAPI, "evicted").Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantToken(t, evicted, token.Text())
		wantToken(t, s.For(testAPI, "evicted"), token.Text())
		if got := auth.count() - before; got != 1 {
			t.Errorf("%d requests for one token", got)
		}
		if !evicted.Status().Valid {
			t.Error("the status is that of the evicted cell")
		}

		s.Close()
		for name, s := range map[string]*Source{"evicted": evicted, "new": s.For(testAPI, "evicted"), "first": s} {
			if _, err := s.Token(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: a token after Close, %v", name, err)
			}
		}
		before = auth.count()
		time.Sleep(24 * time.Hour)
		if got := auth.count() - before; got != 0 {
			t.Errorf("%d requests after Close", got)
		}
	})
}

// Close ends the tokens of Sources that were made before their cells were evicted.
func TestCloseEndsWhatWasEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 60}
		s := newSource(t, auth, nil)
		early := make([]*Source, 10)
		for i := range early {
			early[i] = s.For(testAPI, fmt.Sprint("early", i))
		}
		full(t, s)
		time.Sleep(time.Hour)
		for _, s := range early {
			wantAny(t, s)
		}
		s.Close()
		before := auth.count()
		for _, s := range early {
			if _, err := s.Token(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("a token after Close, %v", err)
			}
			if st := s.Status(); st.Valid {
				t.Errorf("%+v", st)
			}
		}
		time.Sleep(time.Hour)
		if got := auth.count() - before; got != 0 {
			t.Errorf("%d requests after Close", got)
		}
	})
}

// A Source that got no capacity gets it as soon as there is some.
func TestCapacityIsFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, &server{life: 60}, nil)
		full(t, s)
		late := s.For(testAPI, "late")
		if _, err := late.Token(t.Context()); !errors.Is(err, errManyCells) {
			t.Errorf("the error is %v", err)
		}
		time.Sleep(time.Hour)
		wantAny(t, late)
	})
}

// A refused scope is tried once per backoff, though its cell could make room for others.
// Cells that were refused make room if nothing else does.
func TestEvictionKeepsBackoffs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &server{life: 1, answer: func(_ *http.Request, form url.Values) *http.Response {
			if strings.HasPrefix(form.Get("scope"), "bad") {
				return answerOf(400, `{"error":"invalid_scope"}`)
			}
			return nil
		}}
		s := newSource(t, auth, nil)
		wantAny(t, s.For(testAPI, "short"))
		time.Sleep(3 * time.Second)
		auth.set(func(s *server) { s.life = 3600 })
		before := auth.count()
		for range 20 {
			if _, err := s.For(testAPI, "bad").Token(t.Context()); err == nil {
				t.Fatal("a token")
			}
		}
		for i := range maxCells - 1 { // the last one evicts
			wantAny(t, s.For(testAPI, fmt.Sprint("scope", i)))
		}
		if _, err := s.For(testAPI, "bad").Token(t.Context()); err == nil || errors.Is(err, errManyCells) {
			t.Errorf("a refused scope: %v", err)
		}
		if got := auth.count() - before; got != maxCells {
			t.Errorf("%d requests for %d tokens: a refused scope was tried early", got, maxCells)
		}
		time.Sleep(24 * time.Hour)
		for i := range maxCells {
			_, _ = s.For(testAPI, fmt.Sprint("bad", i)).Token(t.Context())
		}
		wantAny(t, s.For(testAPI, "scope")) // though all capacity is of refused ones
	})
}
