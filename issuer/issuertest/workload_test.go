package issuertest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// server is an issuer with one client, "reports", which is the workload of each kind.
type server struct {
	*Issuer
	mu     sync.Mutex
	events []event.Event
}

func newServer(t *testing.T, trusted func(w *Workload) issuer.WorkloadIssuer, workloads ...*Workload) *server {
	t.Helper()
	s := &server{}
	s.Issuer = New(t, func(c *issuer.Config) {
		c.Issuer = "https://m2m.test"
		c.MaxGrantRate = 100_000
		c.Observe = func(_ context.Context, e event.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}
		for _, w := range workloads {
			c.WorkloadIssuers = append(c.WorkloadIssuers, trusted(w))
		}
	})
	client := registry.Client{ID: "reports"}
	for _, w := range workloads {
		client.Workloads = append(client.Workloads, w.Entry(s.URL()))
	}
	if secret := s.Register(t, client); secret != "" {
		t.Error("a client that is a workload got a secret")
	}
	return s
}

// post asks for a token with a client assertion, and returns the status, what the body
// says as error, and the reason and the error of the event.
func (s *server) post(t *testing.T, assertion string) (status int, code string, reason event.Reason, cause string) {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"reports"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	request := httptest.NewRequest(http.MethodPost, s.URL()+"/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	var body struct {
		Error string `json:"error"`
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || (body.Token != "") != (answer.Code == http.StatusOK) {
		t.Fatalf("status %d, body %s, %v", answer.Code, answer.Body, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := event.Event{}
	if n := len(s.events); n > 0 {
		last = s.events[n-1]
	}
	if last.Err != nil {
		cause = last.Err.Error()
	}
	return answer.Code, body.Error, last.Reason, cause
}

func (s *server) want(t *testing.T, when string, status int, assertion string) {
	t.Helper()
	if got, code, reason, cause := s.post(t, assertion); got != status {
		t.Errorf("%s: status %d %s (%s: %s), want %d", when, got, code, reason, cause, status)
	}
}

func trust(w *Workload) issuer.WorkloadIssuer { return w.Trust() }

func TestWorkloads(t *testing.T) {
	t.Parallel()
	for _, kind := range WorkloadKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := NewWorkload(t, kind)
			if before := defaultServer; !strings.Contains(payloadOf(t, w.Token(t)), before) {
				t.Error("before there is an entry, a token is not for", before)
			}
			s := newServer(t, trust, w)
			first := w.Token(t)
			s.want(t, "usual", 200, first)
			s.want(t, "another lifetime", 200, w.Token(t, Lifetime(time.Minute)))
			s.want(t, "its subject", 200, w.Token(t, Claim("sub", w.Subject())))
			s.want(t, "another subject", 401, w.Token(t, Claim("sub", w.Subject()+"x")))
			s.want(t, "another audience", 401, w.Token(t, Audience("https://other.test")))
			s.want(t, "expired", 401, w.Token(t, Lifetime(-time.Minute)))
			s.want(t, "of another issuer of this kind", 401, NewWorkload(t, kind).Token(t, Audience(s.URL())))

			w.Rotate(t)
			second := w.Token(t)
			s.want(t, "after a rotation", 200, second)
			s.want(t, "of the key before it", 200, first)
			w.EmergencyRotate(t)
			s.want(t, "after the key has leaked", 200, w.Token(t))
			s.want(t, "of the leaked key", 401, second)
			s.want(t, "of the oldest key", 401, first)

			w.KeySet.Fail(500)
			s.want(t, "without keys", 503, w.Token(t))
			w.KeySet.Restore()
			s.want(t, "with keys again", 200, w.Token(t))
			s.Rotate(t) // the other issuer's key
			s.want(t, "after our own rotation", 200, w.Token(t))
		})
	}
}

// A token of AWS has up to ten audiences. One of them must be ours.
func TestAWSAudiences(t *testing.T) {
	t.Parallel()
	w := NewWorkload(t, AWS)
	s := newServer(t, trust, w)
	others := slices.Repeat([]string{"https://other.test"}, 9)
	s.want(t, "ten", 200, w.Token(t, Claim("aud", append(slices.Clone(others), s.URL()))))
	s.want(t, "ten of others", 401, w.Token(t, Claim("aud", append(slices.Clone(others), "https://other.test"))))
	s.want(t, "eleven", 401, w.Token(t, Claim("aud", append(slices.Clone(others), "https://other.test", s.URL()))))
}

// The key set of a workload issuer does not grow for ever.
func TestWorkloadKeysAreBounded(t *testing.T) {
	t.Parallel()
	w := NewWorkload(t, SPIFFEDraft)
	for n := range retained + 2 {
		if have := w.published().Len(); have != min(n, retained)+1 {
			t.Errorf("%d published keys after %d rotations", have, n)
		}
		w.Rotate(t)
	}
}

// payloadOf returns the claims of a token as JSON.
func payloadOf(t *testing.T, token string) string {
	t.Helper()
	jws, err := jose.Parse(token, 0)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.UnverifiedPayload()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// One client may be the workloads of several issuers.
func TestWorkloadsOfOneClient(t *testing.T) {
	t.Parallel()
	kinds := []*Workload{NewWorkload(t, AWS), NewWorkload(t, SPIFFEDraft)}
	s := newServer(t, trust, kinds...)
	for _, w := range kinds {
		s.want(t, w.URL(), 200, w.Token(t))
	}
	// The iss decides whose keys are asked for.
	s.want(t, "iss of another", 401, kinds[0].Token(t, Claim("iss", kinds[1].URL())))
}

// The key set is found through metadata, cached, and fetched anew for a new key.
func TestWorkloadRemote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []WorkloadKind{SPIFFEDraft, Azure} { // without and with a path
			w := NewWorkload(t, kind)
			s := newServer(t, func(w *Workload) issuer.WorkloadIssuer { return w.Remote(t) }, w)
			for range 3 {
				s.want(t, "usual", 200, w.Token(t))
			}
			if n := w.KeySet.Requests(); n != 1 {
				t.Errorf("%d requests for the key set", n)
			}
			w.Rotate(t)
			s.want(t, "after a rotation", 200, w.Token(t))
			if n := w.KeySet.Requests(); n != 2 {
				t.Errorf("%d requests for the key set after a rotation", n)
			}
			time.Sleep(10 * time.Minute)
			w.KeySet.Garbage()
			w.Rotate(t)
			s.want(t, "a new key, and no key set", 503, w.Token(t))
		}
	})
}

// The claims are those of the document, in its order.
func TestWorkloadLayout(t *testing.T) {
	t.Parallel()
	for _, kind := range WorkloadKinds() {
		w := NewWorkload(t, kind)
		var names []string
		have, err := orderedMembers(payloadOf(t, w.Token(t)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range have {
			names = append(names, m.name)
			if m.value == `""` && m.name != "head_ref" && m.name != "base_ref" || m.value == "0" || m.value == `[""]` {
				t.Errorf("%s: %s is %s", kind, m.name, m.value)
			}
		}
		want, err := orderedMembers(w.layout.claims)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(names, want, func(name string, m member) bool { return name == m.name }) || len(names) < 5 {
			t.Errorf("%s: %q", kind, names)
		}
	}
}

func TestNoWorkload(t *testing.T) {
	t.Parallel()
	var zero Workload
	if zero.URL()+zero.Subject() != "" || zero.Entry("x") != (registry.Workload{}) || zero.Trust().Keys != nil {
		t.Error("a zero Workload is something")
	}
	answer := httptest.NewRecorder()
	zero.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/keys", http.NoBody))
	if answer.Code != 500 {
		t.Error(answer.Code)
	}
	for name, call := range map[string]func(tb testing.TB){
		"Token": func(tb testing.TB) { tb.Helper(); zero.Token(tb) }, "Rotate": func(tb testing.TB) { tb.Helper(); zero.Rotate(tb) },
		"EmergencyRotate": func(tb testing.TB) { tb.Helper(); (*Workload)(nil).EmergencyRotate(tb) },
		"Remote":          func(tb testing.TB) { tb.Helper(); zero.Remote(tb) },
		"no kind":         func(tb testing.TB) { tb.Helper(); NewWorkload(tb, "") },
		"Bad":             func(tb testing.TB) { tb.Helper(); NewWorkload(t, SPIFFEDraft).Token(tb, Bad("expired")) },
		"Claim":           func(tb testing.TB) { tb.Helper(); NewWorkload(t, SPIFFEDraft).Token(tb, Claim("x", make(chan int))) },
	} {
		if said := complaint(t, call); said == "" {
			t.Errorf("%s: the test did not fail", name)
		}
	}
}
