package jwks

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

func maxAgeOf(t *testing.T, w *httptest.ResponseRecorder) time.Duration {
	t.Helper()
	seconds, ok := strings.CutPrefix(w.Header().Get("Cache-Control"), "public, max-age=")
	if !ok {
		t.Fatalf("Cache-Control %q", w.Header().Get("Cache-Control"))
	}
	return time.Duration(sure(strconv.Atoi(seconds))) * time.Second
}

func TestPublish(t *testing.T) {
	r := sure(NewKeyring(testKeys()["ES256"].private, testKeys()["RS256"].private))
	w := get(t, r)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	for name, want := range map[string]string{
		"Content-Type":                "application/jwk-set+json",
		"Content-Length":              strconv.Itoa(w.Body.Len()),
		"Cache-Control":               "public, max-age=300",
		"Access-Control-Allow-Origin": "*",
	} {
		if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	etag := w.Header().Get("ETag")
	if len(etag) < 10 || etag[0] != '"' || etag[len(etag)-1] != '"' || strings.ContainsAny(etag[1:len(etag)-1], `", W/`+"\\") && strings.Contains(etag, `"`+`"`) {
		t.Errorf("ETag %s is not a strong one", etag)
	}
	if s, err := jose.ParseSet(w.Body.Bytes(), nil); err != nil || s.Len() != 2 || len(s.Skipped()) != 0 {
		t.Errorf("%s: %v", w.Body, err)
	}
	if again := get(t, r).Header().Get("ETag"); again != etag {
		t.Error("the ETag changed, and the set did not")
	}
	if other := get(t, sure(NewKeyring(testKeys()["ES256"].private))).Header().Get("ETag"); other == etag {
		t.Error("two sets have one ETag")
	}

	head := ask(t, r, http.MethodHead)
	if head.Code != http.StatusOK || head.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", head.Code, head.Body.Len())
	}
	for name := range w.Header() {
		if head.Header().Get(name) != w.Header().Get(name) {
			t.Errorf("HEAD: %s is %q", name, head.Header().Get(name))
		}
	}

	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"} {
		w := ask(t, r, method)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
		if w.Header().Get("ETag") != "" || strings.Contains(w.Body.String(), "kty") {
			t.Errorf("%s: it was answered", method)
		}
	}
}

func TestPublishNotModified(t *testing.T) {
	r := sure(NewKeyring(testKeys()["ES256"].private))
	etag := get(t, r).Header().Get("ETag")
	for _, tt := range []struct {
		header []string // values of If-None-Match
		code   int
	}{
		{[]string{etag}, 304},
		{[]string{"W/" + etag}, 304},
		{[]string{"*"}, 304},
		{[]string{` "a" , ` + etag + ` `}, 304},
		{[]string{`"a","b",W/"c",W/` + etag}, 304},
		{[]string{`"a"`, etag}, 304},
		{[]string{etag + `,"a"`}, 304},
		{nil, 200},
		{[]string{""}, 200},
		{[]string{`"a"`}, 200},
		{[]string{strings.Trim(etag, `"`)}, 200},
		{[]string{strings.ToLower(etag)}, 200},
		{[]string{`"` + etag + `"`}, 200},
		{[]string{"w/" + etag}, 200},
		{[]string{etag[:len(etag)-2] + `"`}, 200},
	} {
		var header []string
		for _, value := range tt.header {
			header = append(header, "If-None-Match", value)
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := ask(t, r, method, header...)
			if w.Code != tt.code {
				t.Errorf("%s %q: %d", method, tt.header, w.Code)
			}
			if w.Header().Get("ETag") != etag || w.Header().Get("Cache-Control") != "public, max-age=300" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %q: %v", method, tt.header, w.Header())
			}
			if w.Code == 304 && (w.Body.Len() != 0 || w.Header().Get("Content-Type") != "" || w.Header().Get("Content-Length") != "") {
				t.Errorf("%s %q: a 304 with a body, or headers of one: %v", method, tt.header, w.Header())
			}
		}
	}
}

// No verifier keeps the set past the next planned change, nor longer than MaxAge.
func TestPublishMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := opened(t, &shelf{}, Policy{Poll: 5 * time.Minute})
		start := time.Now()
		changes, shortest := 0, time.Hour
		etag := get(t, r).Header().Get("ETag")
		for time.Since(start) < 35*24*time.Hour {
			w := get(t, r)
			age := maxAgeOf(t, w)
			if age < time.Second || age > r.Policy().MaxAge {
				t.Fatalf("max-age is %v", age)
			}
			change := r.Status().NextWrite
			if until := time.Until(change); age > max(until, time.Second) {
				t.Fatalf("max-age is %v, the next change in %v", age, until)
			}
			shortest = min(shortest, age)
			if w.Header().Get("ETag") != etag {
				etag = w.Header().Get("ETag")
				changes++
			}
			if until := time.Until(change); until > time.Hour {
				time.Sleep(until - 20*time.Minute)
			} else {
				time.Sleep(7 * time.Second)
			}
		}
		if changes < 2 || shortest > 10*time.Second {
			t.Errorf("%d changes, shortest max-age %v", changes, shortest)
		}
	})
}

// The max-age of a replica that cannot read the store shrinks. Then it answers 503.
func TestPublishStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shelf{}
		r := opened(t, store, Policy{})
		get(t, r)
		time.Sleep(time.Hour)
		store.fail(errors.New("no connection"))
		away := time.Now()
		p := r.Policy()
		var served time.Time
		for time.Since(away) < time.Hour {
			w := get(t, r)
			if w.Code == http.StatusOK {
				served = time.Now().Add(maxAgeOf(t, w))
			} else if w.Code != http.StatusServiceUnavailable || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("ETag") != "" ||
				sure(strconv.Atoi(w.Header().Get("Retry-After"))) < 1 || strings.Contains(w.Body.String(), "connection") {
				t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
			}
			time.Sleep(5 * time.Second)
		}
		if limit := away.Add(p.MaxAge + p.Poll); served.After(limit) || served.Before(away.Add(p.MaxAge)) {
			t.Errorf("verifiers could keep the set until %v after the store went away", served.Sub(away))
		}
		if w := get(t, r); w.Code != http.StatusServiceUnavailable {
			t.Errorf("an hour later: %d", w.Code)
		}
		if w := ask(t, r, http.MethodHead); w.Code != http.StatusServiceUnavailable {
			t.Errorf("HEAD: %d", w.Code)
		}
		if w := get(t, r, "If-None-Match", "*"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("If-None-Match: %d", w.Code)
		}
		store.fail(nil)
		time.Sleep(time.Minute)
		if w := get(t, r); w.Code != http.StatusOK || maxAgeOf(t, w) != p.MaxAge {
			t.Errorf("the store is back: %d %v", w.Code, w.Header())
		}
	})
}

// A Remote reads what a keyring publishes.
func TestPublishToRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := opened(t, &shelf{}, Policy{Poll: time.Hour})
		o, remote := remoteOf(t, "", RemoteConfig{})
		o.handle(r.ServeHTTP)
		signers := map[string]bool{}
		for range 70 {
			token := sure(r.Sign(t.Context(), "at+jwt", []byte("{}")))
			parsed := sure(jose.Parse(token, 0))
			key, err := remote.Key(t.Context(), parsed.KeyID(), "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Verify(key); err != nil {
				t.Fatal(err)
			}
			signers[parsed.KeyID()] = true
			time.Sleep(24 * time.Hour)
		}
		if len(signers) < 3 {
			t.Errorf("%d keys signed in 70 days", len(signers))
		}
	})
}
