package jwks

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

var simulationSeed = flag.Uint64("simulation.seed", 0, "run only this seed of the rotation simulation")

// TestRotationSimulation runs the quickest seeds. With the tag rehearsal,
// TestRotationSimulationOfYears runs more and longer ones.
func TestRotationSimulation(t *testing.T) {
	seeds := []uint64{2, 3, 8, 13, 15, 16, 17}
	if testing.Short() {
		seeds = seeds[:4]
	}
	simulate(t, 4, seeds)
}

// simulate runs replicas of a keyring through many rotations under random policies,
// with skewed clocks, crashes, a store that is slow, loses answers, is cut off from
// some of them, cannot be written or is set back, clocks that jump, emergency
// rotations and changes of algorithm.
//
// It keeps each set that any replica published for as long as a verifier that obeys its
// max-age could hold it. Each token that has not expired must verify with each of these
// sets.
//
// Each eighth seed runs the default policy, for that many periods of RotateEvery.
func simulate(t *testing.T, defaultTurns int, seeds []uint64) {
	if *simulationSeed != 0 {
		seeds = []uint64{*simulationSeed}
	}
	var total simulated
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, seed, defaultTurns)
				s.run()
				if t.Failed() {
					t.Logf("to run it again: go test ./jwks -run %s -simulation.seed=%d", t.Name(), seed)
				}
				total.add(s.counts)
			})
		})
	}
	t.Logf("%+v", total)
	if n := len(seeds); total.rotations < n*5 || total.tokens < n*100 || total.held < n*20 || total.emergencies < n ||
		total.readOnly < n || total.setBack < n || total.jumps < n {
		t.Errorf("the simulation did too little: %+v", total)
	}
}

type simulated struct {
	years                                   float64
	rotations, emergencies, crashes, losses int
	tokens, held, unavailable, unpublished  int
	readOnly, setBack, jumps                int
}

func (a *simulated) add(b simulated) {
	a.years += b.years
	a.rotations += b.rotations
	a.emergencies += b.emergencies
	a.crashes += b.crashes
	a.losses += b.losses
	a.tokens += b.tokens
	a.held += b.held
	a.unavailable += b.unavailable
	a.unpublished += b.unpublished
	a.readOnly += b.readOnly
	a.setBack += b.setBack
	a.jumps += b.jumps
}

type simulation struct {
	t        *testing.T
	rand     *rand.Rand
	policy   Policy
	turns    int // of RotateEvery
	ttl      time.Duration
	step     time.Duration
	store    *simulatedStore
	replicas []*simulatedReplica

	held     map[string]verifierSet // published sets that a verifier may hold, by ETag
	alive    map[string]time.Time   // kid → when the last token it signed expires
	signers  map[string]bool
	counts   simulated
	troubled time.Time // until this time the faults of the store may show
}

type verifierSet struct {
	kids  map[string]bool
	until time.Time
}

type simulatedReplica struct {
	*Keyring
	store *replicaStore
	skew  time.Duration
}

func newSimulation(t *testing.T, seed uint64, defaultTurns int) *simulation {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &simulation{
		t: t, rand: r, turns: 15,
		held: map[string]verifierSet{}, alive: map[string]time.Time{}, signers: map[string]bool{},
	}
	between := func(low, high time.Duration) time.Duration {
		return (low + time.Duration(r.Int64N(int64(high-low)))).Truncate(time.Millisecond)
	}
	if seed%8 == 1 {
		s.policy = Policy{MaxAge: time.Hour, Poll: 30 * time.Minute} // the default but for fewer polls
		s.turns = defaultTurns
	} else {
		p := Policy{MaxAge: between(2*time.Second, 20*time.Minute)}
		p.Poll = max(time.Second, between(p.MaxAge/4, p.MaxAge))
		p.Skew = max(time.Second, between(p.MaxAge/100, p.MaxAge/2))
		p.Announce = p.MaxAge + p.Poll + p.Skew // the shortest that is allowed
		if r.IntN(2) == 0 {
			p.Announce += between(0, 10*p.MaxAge)
		}
		p.RotateEvery = p.Announce + between(0, 6*p.Announce)
		p.Retain = p.Skew + between(p.MaxAge/10, 3*p.RotateEvery)
		s.policy = p
	}
	var err error
	if s.policy, err = s.policy.withDefaults(); err != nil {
		t.Fatal(err)
	}
	s.ttl = s.policy.Retain - s.policy.Skew
	s.store = &simulatedStore{policy: s.policy, dropped: map[string]bool{}}
	for range 1 + r.IntN(4) {
		s.replicas = append(s.replicas, &simulatedReplica{
			skew: time.Duration(r.Int64N(int64(s.policy.Skew) + 1)), // so any two differ by Skew at most
		})
	}
	return s
}

func (s *simulation) run() {
	p := s.policy
	end := time.Now().Add(time.Duration(s.turns) * p.RotateEvery)
	started := time.Now()
	var openings sync.WaitGroup
	for _, r := range s.replicas { // all at once
		seed := s.rand.Uint64()
		openings.Go(func() { s.open(r, seed) })
	}
	openings.Wait()
	defer func() {
		for _, r := range s.replicas {
			if r.Keyring != nil {
				r.Close()
			}
		}
	}()
	step := p.Poll / 2
	if steps := end.Sub(started) / step; steps > 10_000 {
		step = end.Sub(started) / 10_000
	}
	s.step = step
	for time.Now().Before(end) && !s.t.Failed() {
		time.Sleep(step/2 + time.Duration(s.rand.Int64N(int64(step))))
		s.trouble()
		s.publish()
		s.sign()
		s.publish()
		s.check()
	}
	s.counts.years = time.Since(started).Hours() / 24 / 365
	s.counts.rotations = len(s.signers)
}

func (s *simulation) open(r *simulatedReplica, seed uint64) {
	r.store = &replicaStore{shared: s.store, rand: rand.New(rand.NewPCG(seed, 0)), slow: min(s.policy.Poll/20, time.Second)}
	opened, err := openSkewed(context.Background(), r.store, s.policy, r.skew)
	if err != nil {
		r.Keyring = nil // it crashes at start-up, and is started again later
		return
	}
	r.Keyring = opened
}

// trouble causes a fault at random, about four in each RotateEvery.
func (s *simulation) trouble() {
	r := s.replicas[s.rand.IntN(len(s.replicas))]
	if r.Keyring == nil {
		s.open(r, s.rand.Uint64())
		return
	}
	// About four faults in each rotation, whatever its length.
	if s.rand.Float64() > 4*float64(s.step)/float64(s.policy.RotateEvery) {
		return
	}
	switch s.rand.IntN(9) {
	case 0: // a crash: a write under way may have succeeded or not
		s.counts.crashes++
		r.store.dead.Store(true)
		go r.Close()
		r.Keyring = nil
	case 1:
		s.cutOff(r)
	case 2: // answers get lost
		s.counts.losses++
		r.store.lossy.Store(!r.store.lossy.Load())
		s.troubled = later(s.troubled, time.Now().Add(s.policy.Poll))
	case 3:
		s.rotate(r)
	case 4:
		s.changeAlgorithm(r)
	case 6: // it can read the store and not write it
		s.counts.readOnly++
		r.store.full.Store(time.Now().Add(time.Duration(s.rand.Int64N(int64(s.policy.RotateEvery)))).UnixNano())
	case 7:
		s.setBack(r)
	case 8: // its clock jumps, and jumps back before it is trusted
		s.counts.jumps++
		off := time.Duration(s.rand.Int64N(int64(20*s.policy.RotateEvery))) + 2*max(s.policy.Skew, time.Second)
		if s.rand.IntN(2) == 0 {
			off = -off
		}
		setClock(r.Keyring, r.skew+off)
		keyring, right := r.Keyring, r.skew
		time.AfterFunc(time.Duration(s.rand.Int64N(int64(min(steadyFor/2, s.policy.RotateEvery)))), func() { setClock(keyring, right) })
	case 5: // one replica is cut off while another changes the plan, twice
		other := s.replicas[s.rand.IntN(len(s.replicas))]
		if r == other || other.Keyring == nil {
			return
		}
		s.cutOff(r)
		for range 2 {
			if s.rand.IntN(2) == 0 {
				s.rotate(other)
			} else {
				s.changeAlgorithm(other)
			}
			if other.Keyring == nil {
				return
			}
			s.sign()
			s.publish()
			s.check()
			time.Sleep(time.Duration(s.rand.Int64N(int64(s.policy.Announce))))
		}
	}
}

func (s *simulation) cutOff(r *simulatedReplica) {
	s.counts.losses++
	length := time.Duration(s.rand.Int64N(int64(3 * s.policy.Announce)))
	r.store.cutOff(time.Now().Add(length))
	s.troubled = later(s.troubled, time.Now().Add(length+s.policy.Poll))
}

// setBack puts an older state into the store, as a restored backup does, while a
// replica is up that has the newest. After a poll of it, no dropped key is left.
func (s *simulation) setBack(r *simulatedReplica) {
	if r.store.gone() || r.store.lossy.Load() || time.Now().UnixNano() < r.store.full.Load() || r.update(context.Background(), r.plan) != nil {
		return
	}
	older := s.store.setBack(s.rand)
	if older == nil {
		return
	}
	s.counts.setBack++
	s.troubled = later(s.troubled, time.Now().Add(s.policy.Poll))
	if err := r.update(context.Background(), r.plan); err != nil {
		return
	}
	stored, err := readState(s.store.load(), nil)
	if err != nil || stored.Generation < r.Status().Generation {
		s.t.Errorf("a replica with generation %d left %d in the store: %v", r.Status().Generation, stored.Generation, err)
	}
	for _, kid := range stored.Dropped {
		if stored.index(kid) >= 0 {
			s.t.Errorf("the dropped key %s returned", kid)
		}
	}
}

func (s *simulation) rotate(r *simulatedReplica) {
	if r.Rotate(context.Background()) == nil {
		s.counts.emergencies++
	}
	s.troubled = later(s.troubled, time.Now().Add(2*s.policy.visible()))
}

// changeAlgorithm restarts a replica with another policy.
func (s *simulation) changeAlgorithm(r *simulatedReplica) {
	algs := []string{"ES256", "EdDSA", "Ed25519"} // those whose keys are made quickly
	s.policy.Algorithm = algs[s.rand.IntN(len(algs))]
	r.Close()
	s.open(r, s.rand.Uint64())
}

// publish fetches every replica's set, as verifiers do.
func (s *simulation) publish() {
	for _, r := range s.replicas {
		if r.Keyring == nil {
			continue
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusOK {
			s.counts.unpublished++
			if time.Now().After(s.troubled) && !r.store.lossy.Load() {
				s.t.Errorf("%v: a replica whose store answers did not publish: %d %s", time.Now(), w.Code, w.Body)
			}
			continue
		}
		_, seconds, ok := strings.Cut(w.Header().Get("Cache-Control"), "max-age=")
		age, err := strconv.Atoi(seconds)
		if !ok || err != nil || time.Duration(age)*time.Second > s.policy.MaxAge {
			s.t.Fatalf("Cache-Control: %s", w.Header().Get("Cache-Control"))
		}
		until := time.Now().Add(time.Duration(age) * time.Second)
		etag := w.Header().Get("ETag")
		set, known := s.held[etag]
		if !known {
			parsed, err := jose.ParseSet(w.Body.Bytes(), nil)
			if err != nil || len(parsed.Skipped()) > 0 {
				s.t.Fatalf("published set: %v, %d skipped", err, len(parsed.Skipped()))
			}
			set.kids = map[string]bool{}
			for _, key := range parsed.Keys() {
				set.kids[key.ID()] = true
			}
			s.counts.held++
		}
		set.until = later(set.until, until)
		s.held[etag] = set
	}
}

func (s *simulation) sign() {
	for _, r := range s.replicas {
		if r.Keyring == nil {
			continue
		}
		token, err := r.Sign(context.Background(), "at+jwt", []byte(`{}`))
		if err != nil {
			if !errors.Is(err, ErrUnavailable) {
				s.t.Errorf("Sign: %v", err)
			}
			s.counts.unavailable++
			if time.Now().After(s.troubled) && !r.store.lossy.Load() {
				s.t.Errorf("%v: a replica whose store answers could not sign: %v", time.Now(), err)
			}
			continue
		}
		parsed, err := jose.Parse(token, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		kid := parsed.KeyID()
		if !s.store.ever(kid) {
			s.t.Errorf("a token was signed by a key that was never stored: %s", kid)
		}
		s.counts.tokens++
		s.signers[kid] = true
		// By the slowest clock, for which the token is valid longest.
		s.alive[kid] = later(s.alive[kid], time.Now().Add(r.skew+s.ttl))
	}
}

// check fails if a verifier lacks the key of a token that has not expired.
func (s *simulation) check() {
	now := time.Now()
	for etag, set := range s.held {
		if set.until.Before(now) {
			delete(s.held, etag)
		}
	}
	for kid, until := range s.alive {
		if until.Before(now) {
			delete(s.alive, kid)
			continue
		}
		if s.store.wasDropped(kid) {
			continue
		}
		for _, set := range s.held {
			if !set.kids[kid] {
				s.t.Errorf("%v: a token signed by %s lives until %v, and a verifier may hold a set without it until %v", now, kid, until, set.until)
			}
		}
	}
}
