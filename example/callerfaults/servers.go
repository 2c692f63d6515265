package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokenEndpoint grants token-1, token-2 and so on, unless it is told otherwise.
type tokenEndpoint struct {
	*httptest.Server
	mu       sync.Mutex
	answer   map[string]any // members of the answer, besides access_token
	handler  http.Handler   // answers instead, if set
	secrets  []string       // that are right
	hangs    chan struct{}  // requests wait until it is closed, if set
	arrivals []arrival
}

// arrival is when a request arrived, and for which path.
type arrival struct {
	path string
	at   time.Time
}

func newTokenEndpoint() *tokenEndpoint {
	e := &tokenEndpoint{answer: map[string]any{"token_type": "Bearer", "expires_in": 3600}, secrets: []string{secret}}
	e.Server = httptest.NewServer(e)
	return e
}

func (e *tokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.arrivals = append(e.arrivals, arrival{r.URL.Path, time.Now()})
	answer := map[string]any{"access_token": fmt.Sprintf("token-%d", len(e.arrivals))}
	maps.Copy(answer, e.answer)
	hangs, handler, right := e.hangs, e.handler, e.secrets
	e.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	if handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	status := http.StatusOK
	if !slices.Contains(right, secretOf(r)) {
		status, answer = http.StatusUnauthorized, map[string]any{"error": "invalid_client"}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

// secretOf returns the secret that a request carries in any way.
func secretOf(r *http.Request) string {
	if _, given, ok := r.BasicAuth(); ok {
		if plain, err := url.QueryUnescape(given); err == nil {
			return plain
		}
	}
	return r.PostFormValue("client_secret")
}

func (e *tokenEndpoint) set(change func(e *tokenEndpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

// requests returns all requests so far.
func (e *tokenEndpoint) requests() []arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.arrivals)
}

// hang lets requests wait for release.
func (e *tokenEndpoint) hang() { e.set(func(e *tokenEndpoint) { e.hangs = make(chan struct{}) }) }

func (e *tokenEndpoint) release() {
	e.set(func(e *tokenEndpoint) {
		if e.hangs != nil {
			close(e.hangs)
			e.hangs = nil
		}
	})
}

// api takes each token until it is revoked.
type api struct {
	*httptest.Server
	mu       sync.Mutex
	revoked  bool     // token-1 is
	redirect string   // where /away leads to
	seen     []string // Authorization headers
}

func newAPI() *api {
	a := &api{}
	a.Server = httptest.NewServer(a)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	given := r.Header.Get("Authorization")
	a.seen = append(a.seen, given)
	switch {
	case !strings.HasPrefix(given, "Bearer token-"), a.revoked && given == "Bearer token-1":
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/away":
		http.Redirect(w, r, a.redirect, http.StatusTemporaryRedirect)
	}
}

func (a *api) set(change func(a *api)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// credentials returns the Authorization headers of all requests.
func (a *api) credentials() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

// otherHost must see no credential.
type otherHost struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newOtherHost() *otherHost {
	o := &otherHost{}
	o.Server = httptest.NewServer(o)
	return o
}

func (o *otherHost) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, credential := range []string{r.Header.Get("Authorization"), r.PostFormValue("client_secret")} {
		if credential != "" {
			o.seen = append(o.seen, credential)
		}
	}
}

// url names the server by another host than the others have.
func (o *otherHost) url() string { return strings.Replace(o.URL, "127.0.0.1", "localhost", 1) }

// leaked reports whether a credential has arrived.
func (o *otherHost) leaked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen) > 0
}
