package middleware

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

// The func hears of the refusal before it is answered, and of nothing else.
func TestOnRefusal(t *testing.T) {
	keys := newKeyring(t, ecKey)
	auth := newAPI(t, Config{Keys: keys}).auth
	for name, tt := range map[string]struct {
		authorization string
		scopes        []string
		want          event.Reason
	}{
		"let in":   {"Bearer " + goodToken(t, keys), nil, ""},
		"no token": {"", nil, event.NoToken},
		"no JWS":   {"Bearer x", nil, event.MalformedToken},
		"no scope": {"Bearer " + goodToken(t, keys), []string{"admin"}, event.InsufficientScope},
		"two":      {"Bearer a, Bearer b", nil, event.MalformedRequest},
	} {
		w, calls := httptest.NewRecorder(), 0
		var got event.Reason
		r := request("GET", "/", tt.authorization)
		r = r.WithContext(OnRefusal(r.Context(), func(e *Error) {
			if w.Flushed || w.Body.Len() > 0 {
				t.Errorf("%s: answered before", name)
			}
			calls, got = calls+1, e.Reason()
		}))
		auth.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), tt.scopes...).ServeHTTP(w, r)
		if got != tt.want || calls > 1 || calls == 0 && tt.want != "" {
			t.Errorf("%s: %d calls, %q, want %q", name, calls, got, tt.want)
		}
	}
	var order []string
	for _, name := range []string{"app", "gateway"} { // which uses it too
		none := request("GET", "/").Context()
		if name == "gateway" {
			none = OnRefusal(none, func(*Error) { order = append(order, "app") })
		}
		r := request("GET", "/")
		r = r.WithContext(OnRefusal(none, func(*Error) { order = append(order, name) }))
		auth.Handler(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	}
	if !slices.Equal(order, []string{"app", "gateway", "app"}) {
		t.Errorf("called in the order %q", order)
	}
	if ctx := OnRefusal(t.Context(), nil); ctx != t.Context() {
		t.Error("a nil func made another context")
	}
	var none context.Context
	if OnRefusal(none, nil) == nil {
		t.Error("no context was made of none")
	}
}

func TestReasonOfAnAppsError(t *testing.T) {
	for _, tt := range []struct {
		e    *Error
		want event.Reason
	}{
		{nil, ""},
		{&Error{}, event.Forbidden},
		{&Error{Status: http.StatusForbidden, Code: "insufficient_scope"}, event.Forbidden},
		{&Error{Status: http.StatusForbidden, Code: "insufficient_scope", Scope: "a"}, event.InsufficientScope},
		{&Error{Status: http.StatusTooManyRequests}, event.Busy},
		{invalidToken(event.Expired, nil), event.Expired},
	} {
		if got := tt.e.Reason(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.e, got, tt.want)
		}
	}
}
