package outbound

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A token that an API has refused does not count as ready, whatever keeps the Source from
// another one. Calls get the 401 meanwhile.
func TestNotReadyWithARefusedToken(t *testing.T) {
	answers := func(status int, body string) func(*server) {
		return func(s *server) { s.answer = alwaysAnswer(status, body) }
	}
	for name, test := range map[string]struct {
		fault func(*server)
		is    func(error) bool
	}{
		"the token endpoint is down": {answers(503, ""), func(err error) bool { return errors.Is(err, ErrUnavailable) }},
		"the token endpoint hangs": {func(s *server) { s.takes = time.Hour }, func(err error) bool {
			return errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
		}},
		"the secret is wrong": {answers(401, `{"error":"invalid_client"}`), func(err error) bool {
			_, ok := errors.AsType[*Error](err)
			return ok && !errors.Is(err, ErrUnavailable)
		}},
		"the server caches its token": {answers(200, `{"access_token":"token-1","token_type":"Bearer","expires_in":3600}`), func(err error) bool { return errors.Is(err, ErrUnavailable) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				auth, orders := &server{}, &api{}
				s := newSource(t, auth, nil)
				client := &http.Client{Transport: s.Transport(orders)}
				call := func(want int) {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					r, _ := http.NewRequestWithContext(ctx, http.MethodGet, testAPI, http.NoBody)
					if res, err := client.Do(r); err != nil || res.StatusCode != want {
						t.Errorf("%v, %v, want status %d", res, err, want)
					}
				}
				ready := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return s.Ready(ctx)
				}
				call(200)
				if err := ready(); err != nil {
					t.Errorf("with a token: %v", err)
				}
				orders.refuse("token-1")
				auth.set(test.fault)
				call(401)
				for range 10 {
					if err := ready(); err == nil || !test.is(err) {
						t.Errorf("every call is a 401, and Ready is %v", err)
					}
					if st := s.Status(); st.Valid || st.ObtainedAt.IsZero() || st.ExpiresAt.IsZero() {
						t.Errorf("%+v", st)
					}
					time.Sleep(time.Second)
				}
				auth.set(func(s *server) { s.answer, s.takes, s.granted = nil, 0, 1 })
				time.Sleep(slowestDelay) // Ready alone leads to another token
				_ = ready()
				synctest.Wait()
				if err := ready(); err != nil || !s.Status().Valid {
					t.Errorf("after the fault: %v, %+v", err, s.Status())
				}
				call(200)
			})
		})
	}
}
