//go:build rehearsal

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSoak is a minute of crashes, by real processes: three replicas of the issuer on
// a PostgreSQL of the test, behind a load balancer, and an API elsewhere. Keys
// rotate every 6 s. A replica is killed every few seconds, and PostgreSQL is
// stopped at once, as by a power cut, for 2 s in every 15.
//
// No good token may be answered 401. What was acknowledged must be so afterwards:
// each revoked token is refused, each registered client and each new secret gets a
// token. And 503 is answered only while something is away.
//
//	go test -tags rehearsal -run TestSoak -v ./example
func TestSoak(t *testing.T) {
	s := newSoak(t)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() { s.load(stop) })
	}
	work.Go(func() { s.revoke(stop) })
	work.Go(func() { s.register(stop) })

	deadline := time.Now().Add(time.Minute)
	for next := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		time.Sleep(2*time.Second + rand.N(3*time.Second))
		s.kill(rand.IntN(len(s.replicas)))
		for _, kid := range s.set(s.replicas[0].Load()) {
			s.signers[kid] = true
		}
		if time.Now().After(next) {
			next = time.Now().Add(15 * time.Second)
			s.outage(2 * time.Second)
		}
	}
	close(stop)
	work.Wait()
	s.verify()

	t.Logf("kills %d, stops of PostgreSQL %d, keys seen %d", s.kills.Load(), s.stops.Load(), len(s.signers))
	t.Logf("tokens granted %d, calls let in %d, good tokens refused (401) %d", s.granted.Load(), s.accepted.Load(), s.refused.Load())
	t.Logf("acknowledged: revocations %d, clients and secrets %d; lost %d; revoked tokens let in while PostgreSQL was away %d", s.revoked.Load(), len(s.ledger), s.lost.Load(), s.late.Load())
	t.Logf("503 while something was away %d, otherwise %d; other failures %d", s.away.Load(), s.unavailable.Load(), s.strange.Load())
	switch {
	case s.refused.Load() > 0 || s.lost.Load() > 0 || s.unavailable.Load() > 0 || s.strange.Load() > 0:
		t.Error("the promise is broken")
	case s.kills.Load() < 8 || s.stops.Load() < 3 || len(s.signers) < 6 || s.accepted.Load() < 1300 || s.revoked.Load() < 30 || len(s.ledger) < 25:
		t.Error("too little happened to prove anything")
	}
}

type soak struct {
	*rehearsal
	server   *pgServer
	secret   string // of the client soak
	operator string // the secret of the operator

	mu        sync.Mutex
	moment    time.Time // until then something counts as away
	outageEnd time.Time
	ledger    []credential

	stops, revoked, lost, late, away, unavailable, strange atomic.Int64
}

// credential is a client's secret that was acknowledged.
type credential struct{ id, secret string }

// How long 503 is right after a fault: replicas whose database came back wait for
// a moment before they ask it, and the load balancer has connections to a replica
// that was killed.
const afterOutage, afterKill = 3 * time.Second, 300 * time.Millisecond

func newSoak(t *testing.T) *soak {
	s := &soak{server: newPGServer(t)}
	s.rehearsal = &rehearsal{T: t, replicas: make([]atomic.Pointer[process], 3), signers: map[string]bool{}, dropped: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.front = "http://" + listener.Addr().String()
	server := &http.Server{Handler: s.balancer()}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })

	s.secret = generated()
	s.env = []string{
		"DATABASE_URL=" + s.server.url, kek, "ISSUER=" + s.front, "CLIENT_ID=soak", "CLIENT_SECRET=" + s.secret,
		"KEY_ROTATE_EVERY=6s", "KEY_ANNOUNCE=4s", "KEY_RETAIN=14s", "KEY_MAX_AGE=2s", "TOKEN_TTL=10s", "JWKS_COOLDOWN=1s", "JWKS_MAX_STALE=5s",
	}
	for i := range s.replicas {
		s.replicas[i].Store(start(t, "example", s.env...))
	}
	s.apis = append(s.apis, start(t, "api", s.env...))
	words := strings.Fields(clients(t, s.env, "add", "operator", "-scope", "clients:admin", "-audience", s.front+"/v1"))
	s.operator = words[len(words)-1]
	return s
}

func (s *soak) kill(i int) {
	s.trouble(time.Minute)
	s.rehearsal.kill(i)
	s.trouble(afterKill)
}

func (s *soak) outage(d time.Duration) {
	s.trouble(time.Minute)
	s.server.crash()
	time.Sleep(d)
	s.server.start()
	s.stops.Add(1)
	s.mu.Lock()
	s.outageEnd = time.Now().Add(afterOutage)
	s.mu.Unlock()
	s.trouble(0)
}

// trouble notes that something is away from now on, for so long.
func (s *soak) trouble(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moment = time.Now().Add(d); s.moment.Before(s.outageEnd) {
		s.moment = s.outageEnd
	}
}

// troubled reports whether something has been away since begun.
func (s *soak) troubled(begun time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moment.After(begun)
}

// failed counts an answer that is neither right nor a refusal of the token.
func (s *soak) failed(what string, begun time.Time, status int, body string, err error) {
	switch {
	case err == nil && status != http.StatusServiceUnavailable && status != http.StatusBadGateway:
		s.strange.Add(1)
		s.Errorf("%s: %d %s", what, status, body)
	case s.troubled(begun):
		s.away.Add(1)
	default:
		s.unavailable.Add(1)
		s.Errorf("%s while nothing was away: %d %s %v", what, status, body, err)
	}
}

func (s *soak) token(id, secret string) string {
	begun := time.Now()
	status, body, err := s.request("POST", s.front+"/token", "", "grant_type=client_credentials&client_id="+url.QueryEscape(id)+"&client_secret="+url.QueryEscape(secret))
	if err != nil || status != http.StatusOK {
		if status == http.StatusUnauthorized {
			s.refused.Add(1)
		}
		s.failed("token for "+id, begun, status, body, err)
		return ""
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		s.Errorf("token answer: %v %s", err, body)
	}
	s.granted.Add(1)
	return answer.Token
}

// load gets tokens and uses each until it ends: at the issuer's replicas and at
// the API.
func (s *soak) load(stop <-chan struct{}) {
	var uses sync.WaitGroup
	defer uses.Wait()
	for !closed(stop) {
		time.Sleep(100 * time.Millisecond)
		token := s.token("soak", s.secret)
		if token == "" {
			continue
		}
		uses.Go(func() {
			for _, wait := range []time.Duration{0, 500 * time.Millisecond, 2 * time.Second, 3 * time.Second, 3500 * time.Millisecond} { // 9 s of 10, less a few percent
				time.Sleep(wait)
				s.call(s.front, token)
				s.call(s.apis[0].url, token)
			}
		})
	}
}

// call uses a good token.
func (s *soak) call(at, token string) {
	begun := time.Now()
	status, body, err := s.request("GET", at+"/v1/whoami", token, "")
	switch {
	case err == nil && status == http.StatusOK:
		s.accepted.Add(1)
	case err == nil && status == http.StatusUnauthorized:
		s.refused.Add(1)
		s.Errorf("a good token was refused at %s: %s", at, body)
	default:
		s.failed("a call", begun, status, body, err)
	}
}

// revoke revokes tokens, and uses each 2.5 s later at every replica.
func (s *soak) revoke(stop <-chan struct{}) {
	var uses sync.WaitGroup
	defer uses.Wait()
	for !closed(stop) {
		time.Sleep(300 * time.Millisecond)
		token := s.token("soak", s.secret)
		if token == "" {
			continue
		}
		begun := time.Now()
		status, body, err := s.request("POST", s.front+"/revoke", "", "client_id=soak&client_secret="+s.secret+"&token="+token)
		if err != nil || status != http.StatusOK {
			s.failed("a revocation", begun, status, body, err)
			continue
		}
		s.revoked.Add(1)
		acknowledged := time.Now()
		uses.Go(func() {
			for _, wait := range []time.Duration{2500 * time.Millisecond, 2 * time.Second, 2 * time.Second} {
				time.Sleep(wait)
				s.lostRevocation(token, acknowledged)
			}
		})
	}
}

// lostRevocation asks every replica with a token that was revoked. The 2 s hold
// while the database answers; a replica that cannot poll it may let the token in
// for MaxRevocationLag.
func (s *soak) lostRevocation(token string, acknowledged time.Time) {
	for i := range s.replicas {
		status, _, err := s.request("GET", s.replicas[i].Load().url+"/v1/whoami", token, "")
		switch {
		case err != nil || status != http.StatusOK:
		case s.troubled(acknowledged):
			s.late.Add(1)
		default:
			s.lost.Add(1)
			s.Errorf("replica %d lets a token in %v after its revocation was acknowledged", i, time.Since(acknowledged))
		}
	}
}

// register adds clients by the admin API and gives every second one a new secret.
func (s *soak) register(stop <-chan struct{}) {
	for n := 0; !closed(stop); n++ {
		time.Sleep(700 * time.Millisecond)
		operator := s.token("operator", s.operator)
		if operator == "" {
			continue
		}
		id := fmt.Sprintf("client-%d", n)
		if secret := s.admin(operator, "/admin/clients", fmt.Sprintf(`{"client_id":%q,"audiences":[%q],"scope":"orders:read"}`, id, s.front+"/v1")); secret == "" || n%2 == 0 {
			continue
		}
		s.admin(operator, "/admin/clients/"+id+"/secrets", `{"overlap":3600}`)
	}
}

// admin makes a secret through the admin API, and keeps it when it was
// acknowledged. The balancer asks another replica after a crash, which then may
// find the client there: such a conflict acknowledges nothing.
func (s *soak) admin(token, path, body string) (secret string) {
	begun := time.Now()
	status, answer, err := s.post(s.front+path, token, body)
	if err != nil || status/100 != 2 {
		if status != http.StatusConflict {
			s.failed("POST "+path, begun, status, answer, err)
		}
		return ""
	}
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(answer), &made); err != nil || made.Secret == "" || made.ID == "" {
		s.Errorf("POST %s: %v %s", path, err, answer)
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger = append(s.ledger, credential{made.ID, made.Secret})
	return made.Secret
}

func (s *soak) post(url, token, body string) (int, string, error) {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	status, text := read(s.T, answer)
	return status, text, nil
}

// verify uses every acknowledged secret again.
func (s *soak) verify() {
	time.Sleep(afterOutage)
	for _, c := range s.ledger {
		if s.token(c.id, c.secret) == "" {
			s.lost.Add(1)
			s.Errorf("the acknowledged secret of %s does not work", c.id)
		}
	}
}
