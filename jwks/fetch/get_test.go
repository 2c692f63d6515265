package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answer is a transport whose every answer is this one.
type answer struct {
	status int
	header http.Header
	body   string
	asked  http.Header
}

func (a *answer) RoundTrip(req *http.Request) (*http.Response, error) {
	a.asked = req.Header
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: req,
	}, nil
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestGet(t *testing.T) {
	const url = "https://auth.example.com/jwks.json"
	for _, tt := range []struct {
		name    string
		answer  answer
		request Request
		want    Document
	}{
		{"plain", answer{status: 200, body: "a"}, Request{}, Document{Body: []byte("a")}},
		{"tagged", answer{status: 200, body: "a", header: headers("ETag", `"1"`)}, Request{}, Document{Body: []byte("a"), ETag: `"1"`}},
		{"long tag", answer{status: 200, header: headers("ETag", strings.Repeat("e", maxETag+1))}, Request{}, Document{}},
		{"unchanged", answer{status: 304}, Request{ETag: `"1"`}, Document{Unchanged: true}},
		{"lifetime", answer{status: 200, header: headers("Cache-Control", "public, max-age=60", "Age", "20")}, Request{},
			Document{MaxAge: time.Minute, Stated: true, Age: 20 * time.Second}},
		{"no-store", answer{status: 200, header: headers("Cache-Control", "max-age=60, no-store")}, Request{}, Document{Stated: true}},
		{"unreadable lifetime", answer{status: 200, header: headers("Cache-Control", "max-age=soon", "Age", "-1")}, Request{}, Document{Stated: true}},
		{"huge lifetime", answer{status: 200, header: headers("Cache-Control", "max-age=99999999999")}, Request{}, Document{MaxAge: (1<<31 - 1) * time.Second, Stated: true}},
	} {
		tt.request.URL = url
		got, err := NewClient(&http.Client{Transport: &tt.answer}, false).Get(t.Context(), tt.request)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got.Age -= tt.want.Age; got.Age < 0 || got.Age > time.Second {
			t.Errorf("%s: age differs by %v", tt.name, got.Age)
		}
		if string(got.Body) != string(tt.want.Body) || got.ETag != tt.want.ETag || got.Unchanged != tt.want.Unchanged || got.MaxAge != tt.want.MaxAge || got.Stated != tt.want.Stated {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if tag := tt.answer.asked.Get("If-None-Match"); tag != tt.request.ETag {
			t.Errorf("%s: If-None-Match %q", tt.name, tag)
		}
	}
}

func TestGetRevalidates(t *testing.T) {
	a := &answer{status: 200}
	if _, err := NewClient(&http.Client{Transport: a}, false).Get(t.Context(), Request{URL: "https://auth.example.com/", Revalidate: true}); err != nil || a.asked.Get("Cache-Control") != "no-cache" {
		t.Errorf("%v, %v", a.asked, err)
	}
}

func TestGetRefusesStatus(t *testing.T) {
	for status, header := range map[int]http.Header{204: nil, 206: nil, 304: nil, 404: nil, 503: headers("Retry-After", "7")} {
		_, err := NewClient(&http.Client{Transport: &answer{status: status, header: header}}, false).Get(t.Context(), Request{URL: "https://auth.example.com/"})
		var refused *StatusError
		if !errors.As(err, &refused) || refused.Status != status || refused.URL != "https://auth.example.com/" || (refused.RetryAfter == 7*time.Second) != (status == 503) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestGetRefusesLargeDocuments(t *testing.T) {
	for size, ok := range map[int]bool{maxDocument: true, maxDocument + 1: false} {
		a := &answer{status: 200, body: strings.Repeat(" ", size)}
		if _, err := NewClient(&http.Client{Transport: a}, false).Get(t.Context(), Request{URL: "https://auth.example.com/"}); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := NewClient(nil, false).Get(ctx, Request{URL: server.URL}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestGetFollowsRedirectsOnTheSameHost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if next, ok := map[string]string{"/": "/1", "/1": "/2", "/2": "/3"}[req.URL.Path]; ok {
			http.Redirect(w, req, next, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, "here")
	}))
	defer server.Close()
	document, err := NewClient(nil, false).Get(t.Context(), Request{URL: server.URL + "/"})
	if err != nil || string(document.Body) != "here" {
		t.Errorf("%+v, %v", document, err)
	}
}

func TestGetRefusesOtherRedirects(t *testing.T) {
	for _, to := range []string{"https://evil.example.com/", "http://169.254.169.254/", "http://auth.example.com/", "file:///etc/passwd", "https://auth.example.com:8443/"} {
		a := &answer{status: 302, header: headers("Location", to)}
		if _, err := NewClient(&http.Client{Transport: a}, true).Get(t.Context(), Request{URL: "https://auth.example.com/"}); err == nil || !strings.Contains(err.Error(), "another host") {
			t.Errorf("%s: %v", to, err)
		}
	}
	a := &answer{status: 302, header: headers("Location", "/again")}
	if _, err := NewClient(&http.Client{Transport: a}, true).Get(t.Context(), Request{URL: "https://auth.example.com/"}); err == nil || !strings.Contains(err.Error(), "more than 3 times") {
		t.Errorf("in circles: %v", err)
	}
}

// Only the transport of RemoteConfig.Client is used.
func TestNewClient(t *testing.T) {
	for _, given := range []*http.Client{nil, {}, {Timeout: 1}} {
		c := NewClient(given, false)
		if _, ok := c.http.Transport.(*http.Transport); !ok || c.http.Timeout != 0 {
			t.Error("not a transport of its own")
		}
	}
}

// What was not made with NewClient refuses.
func TestZeroClient(t *testing.T) {
	for _, c := range []*Client{nil, {}} {
		if document, err := c.Get(t.Context(), Request{URL: "https://auth.example.com/"}); document != nil || err == nil {
			t.Errorf("Get: %v", err)
		}
		if m, err := c.Metadata(t.Context(), "https://auth.example.com"); m != nil || err == nil {
			t.Errorf("Metadata: %v", err)
		}
		if err := c.CheckURL("http://auth.example.com"); err == nil {
			t.Error("http is allowed")
		}
	}
	for _, m := range []*Metadata{nil, {}} {
		if uri, err := m.Endpoint("jwks_uri"); uri != "" || err == nil {
			t.Errorf("%q, %v", uri, err)
		}
	}
}
