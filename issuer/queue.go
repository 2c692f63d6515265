package issuer

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
)

// fairQueue lets a number of callers run at once; the others wait in line. Each network
// has a line of its own, and the lines are served round robin, so a flood from one
// network delays others by one turn.
//
// A line is at most perLine long, and at most as long as the free capacity (dynamic
// thresholds, as in packet switches). So the lines that fill the queue always leave
// capacity for a new line. All lines of an IPv6 /48 together get at most an eighth of the
// capacity, those of a /32 at most half.
//
// Callers that go ahead have lines and capacity of their own, which the others cannot
// fill. They get three of four turns.
type fairQueue struct {
	mu       sync.Mutex
	free     int // slots
	perLine  int
	capacity int // of all lines of one kind together
	ahead    lines
	others   lines
	turn     int // counts the turns while both kinds wait
}

const errQueueFull = constError("issuer: too many requests of this network are waiting")

// aheadShare: callers that go ahead leave the others one turn in so many.
const aheadShare = 4

// groupShares are the parts of the capacity that each of groupsOf may have.
var groupShares = [...]int{8, 2}

func newFairQueue(slots, perLine, capacity int) *fairQueue {
	return &fairQueue{free: slots, perLine: perLine, capacity: capacity}
}

// waiter is one caller in line. ready is closed when it has a slot.
type waiter struct {
	line    *line
	element *list.Element
	ready   chan struct{}
}

// acquire returns nil when the caller has a slot, which it must release. The error is
// errQueueFull, at once, or the cause of the context's end while the caller waited. All
// callers whose network is not known share the empty network, whose line is bounded by
// the capacity alone.
func (q *fairQueue) acquire(ctx context.Context, network string, ahead bool) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	if q.free > 0 { // then no caller waits
		q.free--
		q.mu.Unlock()
		return nil
	}
	kind := &q.others
	if ahead {
		kind = &q.ahead
	}
	if !q.room(kind, network) {
		q.mu.Unlock()
		return errQueueFull
	}
	w := kind.add(network)
	q.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-w.ready: // both at once: pass the slot on
		q.next()
	default:
		w.line.of.remove(w)
	}
	return context.Cause(ctx)
}

// room reports whether the line of the network may become longer.
func (q *fairQueue) room(kind *lines, network string) bool {
	length := kind.length(network)
	if length >= q.capacity-kind.waiting || network != "" && length >= q.perLine {
		return false
	}
	if len(kind.groups) == 0 {
		return true
	}
	groups, _ := groupsOf(network)
	for n, group := range groups {
		if kind.groups[group] >= max(1, q.capacity/groupShares[n]) {
			return false
		}
	}
	return true
}

// full reports whether acquire would return errQueueFull to a caller of the network that
// does not go ahead.
func (q *fairQueue) full(network string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free == 0 && !q.room(&q.others, network)
}

// length returns the number of callers that wait.
func (q *fairQueue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ahead.waiting + q.others.waiting
}

// release gives a slot back.
func (q *fairQueue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next()
}

// next passes a slot to the next waiter.
func (q *fairQueue) next() {
	first, second := &q.ahead, &q.others
	if !first.empty() && !second.empty() {
		if q.turn = (q.turn + 1) % aheadShare; q.turn == 0 {
			first, second = second, first
		}
	}
	w := first.next()
	if w == nil {
		w = second.next()
	}
	if w == nil {
		q.free++
		return
	}
	close(w.ready)
}

// lines are the lines of networks in which callers wait. Its zero value is empty.
type lines struct {
	waiting int
	of      map[string]*line
	order   list.List            // of *line, the one with the next turn in front
	groups  map[netip.Prefix]int // waiters of each of groupsOf
}

// line holds the waiters of one network, the first in front.
type line struct {
	of      *lines
	network string
	turn    *list.Element
	waiters list.List // of *waiter
}

func (l *lines) empty() bool { return len(l.of) == 0 }

func (l *lines) length(network string) int {
	if line := l.of[network]; line != nil {
		return line.waiters.Len()
	}
	return 0
}

func (l *lines) add(network string) *waiter {
	if l.of == nil {
		l.of = map[string]*line{}
	}
	in := l.of[network]
	if in == nil {
		in = &line{of: l, network: network}
		in.turn = l.order.PushBack(in)
		l.of[network] = in
	}
	w := &waiter{line: in, ready: make(chan struct{})}
	w.element = in.waiters.PushBack(w)
	l.count(network, 1)
	return w
}

// next removes and returns the first waiter of the line with the next turn, nil if there
// is none.
func (l *lines) next() *waiter {
	front := l.order.Front()
	if front == nil {
		return nil
	}
	in, ok := front.Value.(*line)
	if !ok {
		return nil
	}
	w, ok := in.waiters.Front().Value.(*waiter)
	if !ok {
		return nil
	}
	l.order.MoveToBack(front)
	l.remove(w)
	return w
}

// remove removes a waiter from its line. An empty line is dropped. The last one drops the
// map too, because a Go map does not shrink.
func (l *lines) remove(w *waiter) {
	w.line.waiters.Remove(w.element)
	l.count(w.line.network, -1)
	if w.line.waiters.Len() > 0 {
		return
	}
	l.order.Remove(w.line.turn)
	if delete(l.of, w.line.network); len(l.of) == 0 {
		l.of = nil
	}
}

// count adds n to the numbers of waiters: of all, and of the network's groups.
func (l *lines) count(network string, n int) {
	l.waiting += n
	groups, ok := groupsOf(network)
	if !ok {
		return
	}
	if l.groups == nil {
		l.groups = map[netip.Prefix]int{}
	}
	for _, group := range groups {
		if l.groups[group] += n; l.groups[group] == 0 {
			delete(l.groups, group)
		}
	}
	if len(l.groups) == 0 {
		l.groups = nil
	}
}
