package outbound

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkLoadAndUntil is what Token is held against: one atomic load and time.Until.
func BenchmarkLoadAndUntil(b *testing.B) {
	var at atomic.Pointer[time.Time]
	until := time.Now().Add(time.Hour)
	at.Store(&until)
	b.ReportAllocs()
	for b.Loop() {
		if time.Until(*at.Load()) <= 0 {
			b.Fatal("it has ended")
		}
	}
}

func BenchmarkToken(b *testing.B) {
	s := newSource(b, &server{}, nil)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Token(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenParallel(b *testing.B) {
	s := newSource(b, &server{}, nil)
	ctx := context.Background()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Token(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// request has the headers of a usual call.
func request() *http.Request {
	return &http.Request{
		Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "api.example.com", Path: "/orders"},
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"orders/1"}, "Traceparent": {"00-1-2-01"}},
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	res := &http.Response{StatusCode: http.StatusOK}
	base := roundTrip(func(*http.Request) (*http.Response, error) { return res, nil })
	r := request()
	b.Run("base", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = base.RoundTrip(r)
		}
	})
	b.Run("outbound", func(b *testing.B) {
		transport := newSource(b, &server{}, nil).Transport(base)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := transport.RoundTrip(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestAllocations holds the hot paths to their allocations.
func TestAllocations(t *testing.T) {
	s := newSource(t, &server{}, nil)
	res := &http.Response{StatusCode: http.StatusOK}
	transport := s.Transport(roundTrip(func(*http.Request) (*http.Response, error) { return res, nil }))
	r := request()
	wantAny(t, s)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Token(ctx) }); n != 0 {
		t.Errorf("Token allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = transport.RoundTrip(r) }); n > 5 {
		t.Errorf("RoundTrip allocates %v times, want at most 5", n)
	}
}
