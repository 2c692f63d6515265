package pop

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func never(context.Context, string, string, time.Time) (bool, error) { return false, nil }

// Of many goroutines with one proof, exactly one is let in.
func TestReplayRace(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	for i := range 20 {
		f := newForge("EdDSA")
		f.claims["jti"] = fmt.Sprint(i)
		r := request(f.sign(t))
		var wins atomic.Int32
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := v.Verify(t.Context(), r); err == nil {
					wins.Add(1)
				}
			})
		}
		if group.Wait(); wins.Load() != 1 {
			t.Fatalf("%d uses of one proof", wins.Load())
		}
	}
}

// A proof is refused as a replay for as long as its iat is accepted, and its jti is free
// afterwards.
func TestReplayUntilItExpires(t *testing.T) {
	for _, c := range []Config{{}, {MaxAge: time.Second, Leeway: time.Second}, {MaxAge: 10 * time.Minute, Leeway: time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(7 * time.Second) // slots do not begin with the test
			v := sure(NewVerifier(c))
			f := newForge("EdDSA")
			f.claims["iat"] = time.Now().Add(v.leeway).Unix() // the latest
			r := request(f.sign(t))
			if _, err := v.Verify(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			replays := 0
			for {
				_, err := v.Verify(t.Context(), r)
				description := refusal(t, "a replay", err).Description
				if strings.Contains(description, "too old") {
					break
				}
				if replays++; !strings.Contains(description, "used before") {
					t.Fatalf("after %d replays: %v", replays, err)
				}
				time.Sleep(time.Second)
			}
			if want := int((v.maxAge + 2*v.leeway) / time.Second); replays != want {
				t.Errorf("%d seconds, want %d", replays, want)
			}
			// The record outlives the proof by the leeway, and by a slot at most.
			time.Sleep(v.leeway + time.Duration(v.memory.width)*time.Second)
			f.claims["iat"] = time.Now().Unix()
			if _, err := v.Verify(t.Context(), request(f.sign(t))); err != nil {
				t.Errorf("the jti is still used: %v", err)
			}
		})
	}
}

// The same jti with another key is another proof; with another iat it is the same.
func TestReplayByKeyAndID(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	for _, c := range []struct {
		alg string
		age int64
		ok  bool
	}{{"ES256", 0, true}, {"EdDSA", 0, true}, {"ES256", 50, false}, {"ES256", -9, false}, {"EdDSA", 30, false}} {
		f := newForge(c.alg)
		f.claims["iat"] = time.Now().Unix() - c.age
		if _, err := v.Verify(t.Context(), request(f.sign(t))); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A full memory refuses: first the key that fills it, then the client, then all.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(80, 10, 90*time.Second)
		now := time.Now()
		once := func(key, client string, i int) error {
			until := now.Add(time.Duration(i%90) * time.Second)
			first, err := m.once(m.at(now), digestOf(fmt.Sprint(key, i)), digestOf(key), client, until)
			if first == (err != nil) {
				t.Fatalf("%v, %v", first, err)
			}
			return err
		}
		fill := func(key, client string) (held int, err error) {
			for err == nil && held < 100 {
				if err = once(key, client, held); err == nil {
					held++
				}
			}
			return held, err
		}
		if held, err := fill("key of an attacker", "attacker"); held != 10 || !errors.Is(err, errKeyFull) {
			t.Errorf("one key: %d, %v", held, err)
		}
		if err := once("good key", "good", 0); err != nil {
			t.Errorf("another key while one is full: %v", err)
		}
		for i := range 3 {
			if held, err := fill(fmt.Sprint("key ", i), "attacker"); held != 10 || !errors.Is(err, errKeyFull) {
				t.Errorf("key %d: %d, %v", i, held, err)
			}
		}
		if held, err := fill("key 3", "attacker"); held != 0 || !errors.Is(err, errClientFull) {
			t.Errorf("one client: %d, %v", held, err)
		}
		if err := once("good key", "good", 1); err != nil {
			t.Errorf("another client while one is full: %v", err)
		}
		total := 42
		for i := range 10 {
			held, _ := fill(fmt.Sprint("key of nobody ", i), "")
			total += held
		}
		if total != 80 {
			t.Errorf("%d proofs are held, want 80", total)
		}
		if err := once("good key", "good", 2); !errors.Is(err, errFull) {
			t.Errorf("all: %v", err)
		}
		// A full memory still knows what was used.
		if first, err := m.once(m.at(now), digestOf("good key0"), digestOf("good key"), "good", now); first || err != nil {
			t.Errorf("a replay while all is full: %v, %v", first, err)
		}
		time.Sleep(2 * 90 * time.Second)
		if now = time.Now(); once("key of an attacker", "attacker", 1) != nil || len(m.slots) != 1 {
			t.Errorf("after their time: %d slots", len(m.slots))
		}
	})
}

// Clocks that are set do not make a proof usable again, nor fill the memory.
func TestMemoryWhenTheClockIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		jump, back, wait int64 // of the wall clock in seconds, and how long it is wrong
		held             bool
	}{
		"a day forward and back":     {86400, -86400, 5, true},
		"an hour back and forward":   {-3600, 3600, 5, true},
		"a second back":              {-1, 0, 5, true},
		"a window forward and back":  {100, -100, 5, true},
		"forward, and back too late": {86400, -86400, 200, false}, // it has expired meanwhile
	} {
		m := newMemory(100, 100, 90*time.Second)
		now := instant{wall: 1800000000, steady: 1000}
		use := func(id string) bool {
			first, err := m.once(now, digestOf(id), digestOf("key"), "", time.Unix(now.wall+80, 0))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return first
		}
		once := func() bool {
			first, err := m.once(now, digestOf("proof"), digestOf("key"), "", time.Unix(1800000080, 0))
			return first || err != nil
		}
		if !once() {
			t.Fatalf("%s: a proof was used before its time", name)
		}
		now.wall += c.jump
		use("while the clock is wrong")
		now.wall += c.wait
		now.steady += c.wait
		use("still")
		now.wall += c.back
		if got := !once(); got != c.held {
			t.Errorf("%s: held %v", name, got)
		}
		// After their time, records of a wrong clock are gone.
		for range 4 {
			now.wall += 150
			now.steady += 150
			use("another")
		}
		for _, s := range m.slots {
			if s.end.wall > now.wall+300 {
				t.Errorf("%s: a slot is left for %d s", name, s.end.wall-now.wall)
			}
		}
	}
}

// A proof that cannot be recorded is refused as unavailable, never as wrong or as right.
func TestReplayUnavailable(t *testing.T) {
	down := errors.New("the store is down")
	for name, c := range map[string]Config{
		"a store that fails":          {Replay: func(context.Context, string, string, time.Time) (bool, error) { return false, down }},
		"a store that fails and says": {Replay: func(context.Context, string, string, time.Time) (bool, error) { return true, down }},
	} {
		got, err := sure(NewVerifier(c)).Verify(t.Context(), request(newForge("ES256").sign(t)))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, down) || got != (Proof{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	v := sure(NewVerifier(Config{Capacity: 1}))
	for i := range 3 {
		f := newForge("ES256")
		f.claims["jti"] = fmt.Sprint(i)
		if _, err := v.Verify(t.Context(), request(f.sign(t))); i > 0 != errors.Is(err, ErrUnavailable) || i == 0 && err != nil {
			t.Errorf("proof %d: %v", i, err)
		}
	}
}

// A store gets the thumbprint in the scope, a text that any database takes, and a time
// after which nobody accepts the proof. It is asked last.
func TestReplayStore(t *testing.T) {
	var scope, id string
	var until time.Time
	calls := 0
	v := sure(NewVerifier(Config{Replay: func(_ context.Context, s, i string, u time.Time) (bool, error) {
		calls++
		scope, id, until = s, i, u
		return calls == 1, nil
	}}))
	f := newForge("ES256")
	f.claims["jti"] = "\x00" + strings.Repeat("é", 100)
	r := request(f.sign(t))
	wrong := r
	wrong.Method = "POST"
	if _, err := v.Verify(t.Context(), wrong); err == nil || calls != 0 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if _, err := v.Verify(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	wanted := time.Unix(f.claims["iat"].(int64), 0).Add(v.maxAge + 2*v.leeway + storeMargin)
	if scope != "dpop:"+f.signer.Key().Thumbprint() || len(id) != 43 || !until.Equal(wanted) {
		t.Errorf("%q, %q, %v", scope, id, until)
	}
	if _, err := v.Verify(t.Context(), r); refusal(t, "a replay", err).Description != "the DPoP proof was used before" || !refusal(t, "a replay", err).Replayed {
		t.Error(err)
	}
}

// Forged proofs by the thousand leave nothing behind.
func TestForgedProofsUseNoMemory(t *testing.T) {
	v := sure(NewVerifier(Config{}))
	f := newForge("EdDSA")
	whole := f.sign(t)
	cut := strings.LastIndexByte(whole, '.') + 1
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 5000 {
		claims := encode(fmt.Sprintf(`{"jti":"%d","htm":"GET","htu":%q,"iat":%d}`, i, testURL, time.Now().Unix()))
		forged := whole[:strings.IndexByte(whole, '.')+1] + claims + "." + whole[cut:]
		if _, err := v.Verify(t.Context(), request(forged)); err == nil {
			t.Fatal("accepted")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 || len(v.memory.slots) != 0 {
		t.Errorf("%d bytes more, %d slots", grown, len(v.memory.slots))
	}
}
