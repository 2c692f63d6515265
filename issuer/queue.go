package issuer

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
)

// fairQueue lets a number of callers run at once; the others wait in line. Each
// network has a line of its own, and the lines are served round robin, so that a
// flood from one network delays others by one turn.
//
// A line may be as long as perLine, and as the places that are free (dynamic
// thresholds, as in packet switches): lines that fill the queue always leave places
// for a line that is new. All lines of an IPv6 /48 together may have an eighth of the
// places, those of a /32 half.
//
// Callers that go ahead have lines and places of their own, so that the others cannot
// fill these. They get three turns of four.
type fairQueue struct {
	mu       sync.Mutex
	free     int // of the slots
	perLine  int
	capacity int // of all lines of one kind together
	ahead    lines
	others   lines
	turn     int // counts the turns while both kinds wait
}

const errQueueFull = constError("issuer: too many requests of this network wait already")

// aheadShare is of how many turns the callers that go ahead leave one to the others.
const aheadShare = 4

// groupShares are what part of the places each of groupsOf may have.
var groupShares = [...]int{8, 2}

func newFairQueue(slots, perLine, capacity int) *fairQueue {
	return &fairQueue{free: slots, perLine: perLine, capacity: capacity}
}

// waiter is one caller in line. ready is closed when it has a slot.
type waiter struct {
	line  *line
	place *list.Element
	ready chan struct{}
}

// acquire returns nil when the caller has a slot, which it must release. The error
// is errQueueFull at once, or the cause of the context's end while it waited. The
// empty network is all callers whose network is not known: its line may be as long
// as there are places.
func (q *fairQueue) acquire(ctx context.Context, network string, ahead bool) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	q.mu.Lock()
	if q.free > 0 { // then nobody waits
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
	case <-w.ready: // both at once: hand the slot on
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

// full reports whether a caller of the network that does not go ahead would be turned
// away now.
func (q *fairQueue) full(network string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free == 0 && !q.room(&q.others, network)
}

// length returns how many callers wait.
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

// next hands a slot to the next waiter.
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
	order   list.List            // of *line, the one whose turn is next in front
	groups  map[netip.Prefix]int // how many wait of each of groupsOf
}

// line is the callers of one network that wait, the first in front.
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
	w.place = in.waiters.PushBack(w)
	l.count(network, 1)
	return w
}

// next removes the first waiter of the line whose turn it is, nil if there is none.
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

// remove takes a waiter out of its line. An empty line is dropped; the last one
// takes the map with it, which does not shrink by itself.
func (l *lines) remove(w *waiter) {
	w.line.waiters.Remove(w.place)
	l.count(w.line.network, -1)
	if w.line.waiters.Len() > 0 {
		return
	}
	l.order.Remove(w.line.turn)
	if delete(l.of, w.line.network); len(l.of) == 0 {
		l.of = nil
	}
}

// count adds to how many wait, of the network and of all.
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
