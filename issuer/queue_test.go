package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// serve makes callers of the networks wait in the order given, behind one that runs,
// and returns the order in which they are served. A network in capitals goes ahead.
func serve(t *testing.T, q *fairQueue, networks string) (served string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if err := q.acquire(t.Context(), "first", false); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		for network := range strings.FieldsSeq(networks) {
			go func() {
				if err := q.acquire(t.Context(), network, network == strings.ToUpper(network)); err != nil {
					network = "(" + network + ")"
				}
				mu.Lock()
				order = append(order, network)
				mu.Unlock()
				if network[0] != '(' {
					q.release()
				}
			}()
			synctest.Wait()
		}
		q.release()
		synctest.Wait()
		served = strings.Join(order, " ")
		if q.free != 1 || q.length() != 0 || !q.ahead.empty() || !q.others.empty() || q.ahead.of != nil || q.others.of != nil || q.others.groups != nil {
			t.Errorf("left behind: %+v", q)
		}
	})
	return served
}

// state returns how many slots are free and how many callers wait.
func (q *fairQueue) state() (free, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free, q.ahead.waiting + q.others.waiting
}

func TestFairQueue(t *testing.T) {
	for name, tt := range map[string]struct {
		perLine, capacity int
		arrive, served    string
	}{
		"one network":             {9, 99, "a a a", "a a a"},
		"networks in turn":        {9, 99, "a a a a b b c", "a b c a b a a"},
		"a line is limited":       {2, 99, "a a a a b b b", "(a) (a) (b) a b a b"},
		"the queue is limited":    {9, 4, "a a a b b c d e", "(a) (b) (d) (e) a b c a"},
		"a new line has capacity": {9, 8, "a a a a a a a a b b b b c c d", "(a) (a) (a) (a) (b) (b) (c) a b c d a b a a"},
		"not for the unknown":     {1, 8, "a a b b", "(a) (b) a b"},
		"going ahead":             {9, 99, "a b A B", "A B a b"},
		"except one of four":      {9, 99, "a b a A A A A B B B B", "A B A a B A B b A B a"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := serve(t, newFairQueue(1, tt.perLine, tt.capacity), tt.arrive); got != tt.served {
				t.Errorf("%s are served as %s, want %s", tt.arrive, got, tt.served)
			}
		})
	}
}

// Callers whose network is not known share one line, bounded by the capacity alone.
func TestFairQueueUnknownNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFairQueue(0, 1, 10)
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 10)
		for range cap(results) {
			go func() { results <- q.acquire(ctx, "", false) }()
		}
		synctest.Wait()
		if _, waiting := q.state(); waiting != 5 { // half of the capacity, by the dynamic threshold
			t.Errorf("%d wait", waiting)
		}
		cancel()
		synctest.Wait()
		if _, waiting := q.state(); waiting != 0 {
			t.Errorf("%d wait", waiting)
		}
	})
}

// A waiter leaves when its own context ends, and takes no slot with it.
func TestFairQueueLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFairQueue(1, 9, 99)
		cause := errors.New("gone")
		if err := q.acquire(t.Context(), "a", false); err != nil {
			t.Fatal(err)
		}
		wait := func(network string, d time.Duration) <-chan error {
			done := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeoutCause(t.Context(), d, cause)
				defer cancel()
				done <- q.acquire(ctx, network, false)
			}()
			synctest.Wait()
			return done
		}
		short, long, other := wait("a", time.Second), wait("a", time.Hour), wait("b", 2*time.Second)
		time.Sleep(3 * time.Second)
		if err := <-short; !errors.Is(err, cause) {
			t.Error(err)
		}
		if err := <-other; !errors.Is(err, cause) {
			t.Error(err)
		}
		q.release()
		if err := <-long; err != nil {
			t.Error(err)
		}
		ended, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if err := q.acquire(ended, "a", false); !errors.Is(err, cause) {
			t.Error(err)
		}
		if q.release(); q.free != 1 || q.length() != 0 {
			t.Errorf("%d free, %d waiting", q.free, q.length())
		}
	})
}

// A slot that is passed to a waiter while it leaves is not lost. There are never more running
// callers than slots.
func TestFairQueueConcurrently(t *testing.T) {
	q := newFairQueue(3, 5, 50)
	var mu sync.Mutex
	running, most := 0, 0
	var all sync.WaitGroup
	for worker := range 40 {
		all.Go(func() {
			for n := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%5)*50*time.Microsecond)
				if q.acquire(ctx, fmt.Sprint(worker%7), n%3 == 0) == nil {
					mu.Lock()
					running++
					most = max(most, running)
					mu.Unlock()
					time.Sleep(time.Duration(n%3) * 20 * time.Microsecond)
					mu.Lock()
					running--
					mu.Unlock()
					q.release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if most > 3 || q.free != 3 || q.length() != 0 || !q.ahead.empty() || !q.others.empty() {
		t.Errorf("%d ran, %d free, %d waiting", most, q.free, q.length())
	}
}

// Callers with the same key share a call. It goes on when the first caller leaves, and ends
// with the last.
func TestSharedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g sharedCalls[string]
		calls := 0
		var ended []string
		call := func(d time.Duration, key string) <-chan string {
			result := make(chan string, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				value, _, err := g.do(ctx, key, func(ctx context.Context, _ func() bool) (string, error) {
					calls++
					select {
					case <-time.After(10 * time.Second):
						return "value of " + key, nil
					case <-ctx.Done():
						ended = append(ended, key)
						return "", ctx.Err()
					}
				})
				result <- fmt.Sprint(value, err)
			}()
			synctest.Wait()
			return result
		}
		first, second, alone := call(time.Second, "a"), call(time.Minute, "a"), call(2*time.Second, "b")
		if got := <-first; got != "context deadline exceeded" {
			t.Error(got)
		}
		if got := <-alone; got != "context deadline exceeded" {
			t.Error(got)
		}
		again := call(time.Minute, "b") // does not join the one that was left
		if got := <-second; got != "value of a<nil>" {
			t.Error(got)
		}
		if got := <-again; got != "value of b<nil>" {
			t.Error(got)
		}
		if calls != 3 || !slices.Equal(ended, []string{"b"}) || g.all != nil {
			t.Errorf("%d calls, %v ended, %v left", calls, ended, g.all)
		}
	})
}
