package sqlstore_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const raceIssuer = "https://auth.example.com"

// replicas are two issuers on one database, with the client keyed, which has the key.
type replicas struct {
	handlers [2]http.Handler
	key      *jose.Signer
}

func newReplicas(t *testing.T, d database) *replicas {
	t.Helper()
	private, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	r := &replicas{}
	if r.key, err = jose.NewSigner(private, ""); err != nil {
		t.Fatal(err)
	}
	set, err := jose.NewSet(r.key.Key())
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	for n := range r.handlers {
		store := d.open(t)
		if n == 0 {
			if _, err := store.Register(t.Context(), registry.Client{ID: "keyed", JWKS: public, Audiences: []string{"https://api.example.com"}}); err != nil {
				t.Fatal(err)
			}
		}
		iss, err := issuer.New(issuer.Config{Issuer: raceIssuer, Keys: keys, Store: store, MaxGrantRate: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { iss.Close() })
		r.handlers[n] = iss.Handler()
	}
	return r
}

// form returns a token request with a new assertion.
func (r *replicas) form(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix()
	claims := fmt.Sprintf(`{"iss":"keyed","sub":"keyed","aud":%q,"iat":%d,"exp":%d,"jti":%q}`, raceIssuer, now, now+60, rand.Text())
	assertion, err := r.key.Sign("JWT", []byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{
		"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}.Encode()
}

func (r *replicas) ask(replica int, form string) int {
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	r.handlers[replica].ServeHTTP(answer, request)
	return answer.Code
}

// race sends each assertion 50 times at once, to both replicas. One gets a token. On a busy
// machine the store may be too slow for some (503), and then nobody can tell whether their
// call counted. Such a round is repeated.
func (r *replicas) race(t *testing.T, rounds int) {
	t.Helper()
	for _, replica := range []int{0, 1} {
		if status := r.ask(replica, r.form(t)); status != http.StatusOK {
			t.Fatalf("replica %d answers %d", replica, status)
		}
	}
	for certain, tried := 0, 0; certain < rounds; tried++ {
		const racers = 50
		form := r.form(t)
		var granted, refused, unknown atomic.Int64
		var group sync.WaitGroup
		start := make(chan struct{})
		for n := range racers {
			group.Go(func() {
				<-start
				switch status := r.ask(n%2, form); status {
				case http.StatusOK:
					granted.Add(1)
				case http.StatusUnauthorized:
					refused.Add(1)
				case http.StatusServiceUnavailable:
					unknown.Add(1)
				default:
					t.Errorf("round %d: status %d", tried, status)
				}
			})
		}
		close(start)
		group.Wait()
		if granted.Load() > 1 || unknown.Load() == 0 && (granted.Load() != 1 || refused.Load() != racers-1) {
			t.Fatalf("round %d: %d granted and %d refused of %d", tried, granted.Load(), refused.Load(), racers)
		}
		if unknown.Load() == 0 {
			certain++
		}
		if tried > 2*rounds+10 {
			t.Fatalf("the store was too slow in most of %d rounds", tried)
		}
	}
}

// An assertion that 50 senders use at once, at two replicas, is accepted once. The tag
// rehearsal adds a run of 1000 rounds.
func TestAssertionRace(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) { newReplicas(t, d).race(t, 20) })
}
