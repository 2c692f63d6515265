package sqlstore_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// bindingReplicas are two issuers on one database, whose client has a secret and a key
// for proofs.
type bindingReplicas struct {
	handlers [2]http.Handler
	secret   string
	prover   *pop.Prover
}

func newBindingReplicas(t *testing.T, d database) *bindingReplicas {
	t.Helper()
	private, err := jose.Generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jwks.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	r := &bindingReplicas{}
	if r.prover, err = pop.NewProver(private, ""); err != nil {
		t.Fatal(err)
	}
	plain, stored := registry.GenerateSecret()
	r.secret = plain
	for n := range r.handlers {
		store := d.open(t)
		if n == 0 {
			client := registry.Client{ID: "bound", Secrets: []registry.Secret{stored}, DPoPBoundTokens: true, Audiences: []string{"https://api.example.com"}}
			if _, err := store.Register(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		iss, err := issuer.New(issuer.Config{Issuer: raceIssuer, Keys: keys, Store: store, MaxGrantRate: -1, DPoP: &pop.Config{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { iss.Close() })
		r.handlers[n] = iss.Handler()
	}
	return r
}

func (r *bindingReplicas) proof(t *testing.T) string {
	t.Helper()
	proof, err := r.prover.Proof(http.MethodPost, raceIssuer+"/token", "", "")
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func (r *bindingReplicas) ask(replica int, proof string) int {
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials"))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("DPoP", proof)
	request.SetBasicAuth("bound", r.secret)
	answer := httptest.NewRecorder()
	r.handlers[replica].ServeHTTP(answer, request)
	return answer.Code
}

// race sends each proof 50 times at once, to both replicas. One gets a token. A round in
// which the store was too slow for some (503) decides nothing, and is repeated.
func (r *bindingReplicas) race(t *testing.T, rounds int) {
	t.Helper()
	for replica := range r.handlers {
		if status := r.ask(replica, r.proof(t)); status != http.StatusOK {
			t.Fatalf("replica %d answers %d", replica, status)
		}
	}
	for certain, tried := 0, 0; certain < rounds; tried++ {
		const racers = 50
		proof := r.proof(t)
		var granted, refused, unknown atomic.Int64
		var group sync.WaitGroup
		start := make(chan struct{})
		for n := range racers {
			group.Go(func() {
				<-start
				switch status := r.ask(n%2, proof); status {
				case http.StatusOK:
					granted.Add(1)
				case http.StatusBadRequest:
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

// A proof that 50 senders use at once, at two replicas, gets one token. The tag rehearsal
// adds a run of 1000 rounds.
func TestProofRace(t *testing.T) {
	onBoth(t, func(t *testing.T, d database) { newBindingReplicas(t, d).race(t, 20) })
}
