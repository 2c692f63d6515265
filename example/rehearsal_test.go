//go:build rehearsal

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// TestRehearsal is the life of a year in a minute, by real processes: three
// issuer replicas that share a key store behind a load balancer, two APIs that
// fetch the keys, steady load, a SIGKILL every few seconds and one emergency
// rotation. No good token may be refused but those of the dropped key.
//
//	go test -tags rehearsal -run TestRehearsal -v ./example
func TestRehearsal(t *testing.T) {
	r := newRehearsal(t)
	deadline := time.Now().Add(50 * time.Second)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() { r.load(stop) })
	}
	work.Go(func() { r.watchHistory(stop) })
	work.Go(func() { r.watchSets(stop) })
	for round := 0; time.Now().Before(deadline); round++ {
		time.Sleep(3*time.Second + rand.N(time.Second))
		if round == 6 {
			r.emergency()
		}
		r.kill(rand.IntN(len(r.replicas)))
	}
	close(stop)
	work.Wait()

	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("rotations %d, kills %d, emergency rotations %d, dropped keys %d", len(r.signers)-1, r.kills.Load(), r.emergencies, len(r.dropped))
	t.Logf("tokens granted %d, calls answered %d, good tokens refused %d, refused of the dropped key %d", r.granted.Load(), r.accepted.Load(), r.refused.Load(), r.refusedDropped.Load())
	t.Logf("key sets compared %d, two-lineage moments %d", r.compared.Load(), r.lineages.Load())
	switch {
	case r.refused.Load() > 0 || r.lineages.Load() > 0:
		t.Error("the promise is broken")
	case len(r.signers)-1 < 13 || r.kills.Load() < 8 || r.granted.Load() < 600 || r.accepted.Load() < 1300 || r.compared.Load() < 60:
		t.Error("too little happened to prove anything")
	case r.emergencies != 1 || r.refusedDropped.Load() == 0:
		t.Error("the emergency rotation dropped nothing")
	}
}

type rehearsal struct {
	*testing.T
	front    string // URL of the load balancer, which is the issuer
	dir      string
	env      []string
	replicas []atomic.Pointer[process]
	apis     []*process

	mu          sync.Mutex
	history     []string // kids in the order of the key store
	signers     map[string]bool
	dropped     map[string]bool
	emergencies int

	kills, granted, accepted, refused, refusedDropped, compared, lineages atomic.Int64
}

func newRehearsal(t *testing.T) *rehearsal {
	r := &rehearsal{T: t, dir: t.TempDir(), replicas: make([]atomic.Pointer[process], 3), signers: map[string]bool{}, dropped: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.front = "http://" + listener.Addr().String()
	server := &http.Server{Handler: r.balancer()}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })

	secret, _ := registry.GenerateSecret()
	r.env = []string{
		"ISSUER=" + r.front, "DATA_DIR=" + r.dir, "CLIENT_ID=load", "CLIENT_SECRET=" + secret,
		"KEY_ROTATE_EVERY=3s", "KEY_ANNOUNCE=2s", "KEY_RETAIN=4s", "KEY_MAX_AGE=1s", "TOKEN_TTL=3s", "JWKS_COOLDOWN=500ms", "JWKS_MAX_STALE=5s",
	}
	for i := range r.replicas { // one after the other, as start waits; the race of a first start is jwks's test
		r.replicas[i].Store(start(t, "example", r.env...))
	}
	for range 2 {
		r.apis = append(r.apis, start(t, "api", r.env...))
	}
	return r
}

// balancer spreads requests over the replicas, trying the next one when one is
// down, as load balancers do.
func (r *rehearsal) balancer() http.Handler {
	var turn atomic.Uint64
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for range 2 * len(r.replicas) {
			p := r.replicas[turn.Add(1)%uint64(len(r.replicas))].Load()
			if p == nil {
				continue
			}
			target, err := url.Parse(p.url)
			if err != nil {
				continue
			}
			failed := false
			proxy := httputil.NewSingleHostReverseProxy(target)
			proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { failed = true }
			again := req.Clone(req.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			if proxy.ServeHTTP(w, again); !failed {
				return
			}
		}
		w.WriteHeader(http.StatusBadGateway)
	})
}

// load gets tokens and uses each at every API, at once and again until it ends.
func (r *rehearsal) load(stop <-chan struct{}) {
	var uses sync.WaitGroup
	defer uses.Wait()
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		status, body, err := r.request("POST", r.front+"/token", "", "grant_type=client_credentials&client_id=load&client_secret="+url.QueryEscape(clientSecret(r.env)))
		if err != nil || status != http.StatusOK {
			continue // a replica was killed with the request in hand
		}
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			r.Errorf("token answer: %v %s", err, body)
			continue
		}
		r.granted.Add(1)
		kid := keyID(answer.Token)
		r.mu.Lock()
		r.signers[kid] = true
		r.mu.Unlock()
		uses.Go(func() {
			for _, wait := range []time.Duration{0, time.Second, 1800 * time.Millisecond} { // 2.8 s of 3
				time.Sleep(wait)
				for _, api := range r.apis {
					r.use(api, kid, answer.Token)
				}
			}
		})
	}
}

func (r *rehearsal) use(api *process, kid, token string) {
	status, body, err := r.request("GET", api.url+"/v1/whoami", token, "")
	r.mu.Lock()
	dropped := r.dropped[kid]
	r.mu.Unlock()
	switch {
	case err == nil && status == http.StatusOK:
		r.accepted.Add(1)
	case dropped:
		r.refusedDropped.Add(1)
	default:
		r.refused.Add(1)
		r.Errorf("a good token of key %s was refused: %d %s %v", kid, status, body, err)
	}
}

func (r *rehearsal) request(method, url, token, form string) (int, string, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// kill ends a replica as a crash does, and starts another in its place.
func (r *rehearsal) kill(i int) {
	old := r.replicas[i].Load()
	if err := old.Process.Kill(); err != nil {
		r.Errorf("kill: %v", err)
	}
	r.kills.Add(1)
	time.Sleep(300 * time.Millisecond)
	r.replicas[i].Store(start(r.T, "example", r.env...))
}

// emergency has a replica drop the key that signs.
func (r *rehearsal) emergency() {
	p := r.replicas[0].Load()
	before := r.set(p)
	if err := p.Process.Signal(syscall.SIGUSR1); err != nil {
		r.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !strings.Contains(p.said(), "was dropped") {
			continue
		}
		after := r.set(p)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, kid := range before {
			// A key whose time was over may have gone in the same moment; its
			// tokens had ended before.
			if !slices.Contains(after, kid) {
				r.dropped[kid] = true
			}
		}
		r.emergencies++
		return
	}
	r.Errorf("no emergency rotation: %s", p.said())
}

// set is the key ids that a replica publishes, nil if it does not answer.
func (r *rehearsal) set(p *process) []string {
	status, body, err := r.request("GET", p.url+"/.well-known/jwks.json", "", "")
	if err != nil || status != http.StatusOK {
		return nil
	}
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		r.Errorf("key set: %v", err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// watchHistory reads the key file as it changes: keys only ever join at its end.
func (r *rehearsal) watchHistory(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		content, err := os.ReadFile(filepath.Join(r.dir, "keys.json"))
		if err != nil {
			r.Errorf("key file: %v", err)
			return
		}
		var file struct {
			Keys []struct {
				Key struct {
					Kid string `json:"kid"`
				} `json:"key"`
			} `json:"keys"`
		}
		if err := json.Unmarshal(content, &file); err != nil {
			r.Errorf("the key file is torn: %v", err)
			continue
		}
		r.mu.Lock()
		at := 0
		for _, k := range file.Keys {
			for at < len(r.history) && r.history[at] != k.Key.Kid {
				at++
			}
			if at == len(r.history) {
				r.history = append(r.history, k.Key.Kid)
			}
			at++
		}
		r.mu.Unlock()
	}
}

// watchSets compares what the replicas publish and who has signed: all of it is
// of the one history of the key file, and any two sets overlap.
func (r *rehearsal) watchSets(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(150 * time.Millisecond):
		}
		var sets [][]string
		for i := range r.replicas {
			if kids := r.set(r.replicas[i].Load()); kids != nil {
				sets = append(sets, kids)
			}
		}
		time.Sleep(20 * time.Millisecond) // the file is read meanwhile
		r.mu.Lock()
		for i, kids := range sets {
			r.compared.Add(1)
			overlap := func(other []string) bool {
				return slices.ContainsFunc(other, func(kid string) bool { return slices.Contains(kids, kid) })
			}
			foreign := slices.ContainsFunc(kids, func(kid string) bool { return !slices.Contains(r.history, kid) })
			if foreign || slices.ContainsFunc(sets[:i], func(other []string) bool { return !overlap(other) }) {
				r.lineages.Add(1)
				r.Errorf("replicas publish keys of two lineages: %v", sets)
			}
		}
		for kid := range r.signers {
			if !slices.Contains(r.history, kid) {
				r.lineages.Add(1)
				r.Errorf("a key signed that was never in the store: %s", kid)
			}
		}
		r.mu.Unlock()
	}
}

func keyID(token string) string {
	header, _, _ := strings.Cut(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return fmt.Sprint(err)
	}
	var h struct {
		Kid string `json:"kid"`
	}
	_ = json.Unmarshal(decoded, &h)
	return h.Kid
}

func clientSecret(env []string) string {
	for _, e := range env {
		if secret, ok := strings.CutPrefix(e, "CLIENT_SECRET="); ok {
			return secret
		}
	}
	return ""
}
