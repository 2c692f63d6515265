package issuer

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	maxRemotes     = 1 << 10   // clients whose published keys are kept
	remoteIdle     = time.Hour // after which they are dropped
	maxRemoteBytes = 64 << 10  // of a client's key set
	maxRemoteUsers = 256       // requests that may wait for the keys of one client
	remoteTimeout  = 3 * time.Second
)

// errKeysBusy means that too many requests wait for the keys of one client.
var errKeysBusy = fmt.Errorf("%w: too many requests wait for the keys of this client", jwks.ErrUnavailable)

// remotes holds the [jwks.Remote] of each client that publishes its keys. Each client has
// its own, so an address that fails, hangs, or is asked for unknown keys delays no other
// client, even one with the same address. The least recently used one is dropped when
// there are too many. A dropped Remote is closed once nobody uses it.
type remotes struct {
	config   jwks.RemoteConfig
	capacity int

	mu     sync.Mutex
	of     map[string]*list.Element // by client id
	order  list.List                // of *clientRemote, the least recently used in front
	closed bool
	ending sync.WaitGroup // Remotes that are being closed
}

// clientRemote is the Remote of one client.
type clientRemote struct {
	*jwks.Remote
	clientID, url string
	users         int // that have not left
	used          time.Time
	dropped       bool
}

func newRemotes(c jwks.RemoteConfig) *remotes {
	c.MaxBytes, c.Timeout = maxRemoteBytes, remoteTimeout
	return &remotes{config: c, capacity: maxRemotes, of: map[string]*list.Element{}}
}

// candidates is [clientKeys.candidates] for a client that publishes its keys.
func (r *remotes) candidates(ctx context.Context, client *registry.Client, kid, alg string) ([]*jose.Key, error) {
	remote, err := r.enter(client)
	if err != nil {
		return nil, err
	}
	defer r.leave(remote)
	if kid == "" {
		keys, err := remote.Keys(ctx)
		if err != nil {
			return nil, err
		}
		return forAlgorithm(keys, alg)
	}
	key, err := remote.Key(ctx, kid, alg)
	if err != nil {
		return nil, err
	}
	return []*jose.Key{key}, nil
}

// all returns all keys that the client publishes.
func (r *remotes) all(ctx context.Context, client *registry.Client) ([]*jose.Key, error) {
	remote, err := r.enter(client)
	if err != nil {
		return nil, err
	}
	defer r.leave(remote)
	return remote.Keys(ctx)
}

// enter returns the client's Remote, which the caller must leave.
func (r *remotes) enter(client *registry.Client) (*clientRemote, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errIssuerClosed
	}
	element := r.of[client.ID]
	if element != nil && remoteOf(element).url != client.JWKSURI {
		r.drop(element)
		element = nil
	}
	if element == nil {
		if len(r.of) >= r.capacity {
			r.drop(r.order.Front())
		}
		element = r.order.PushBack(&clientRemote{Remote: jwks.NewRemote(client.JWKSURI, r.config), clientID: client.ID, url: client.JWKSURI})
		r.of[client.ID] = element
	}
	remote := remoteOf(element)
	if remote.users >= maxRemoteUsers {
		return nil, errKeysBusy
	}
	remote.users++
	remote.used = time.Now()
	r.order.MoveToBack(element)
	return remote, nil
}

func (r *remotes) leave(remote *clientRemote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if remote.users--; remote.dropped && remote.users == 0 && !r.closed { // close has ended all
		r.end(remote)
	}
}

// drop removes a Remote, and closes it if nobody uses it.
func (r *remotes) drop(element *list.Element) {
	remote := remoteOf(element)
	r.order.Remove(element)
	if delete(r.of, remote.clientID); len(r.of) == 0 {
		r.of = map[string]*list.Element{} // a Go map does not shrink
	}
	remote.dropped = true
	if remote.users == 0 {
		r.end(remote)
	}
}

// end closes a Remote. Close waits for a fetch under way, so it has a goroutine.
func (r *remotes) end(remote *clientRemote) {
	r.ending.Go(func() { _ = remote.Close() }) // it returns nil
}

// sweep drops the Remotes that were not used for long, such as those of deleted clients.
func (r *remotes) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for element := r.order.Front(); element != nil && elapsed(remoteOf(element).used) > remoteIdle; element = r.order.Front() {
		r.drop(element)
	}
}

// close closes all Remotes, also those in use, and waits for their fetches.
func (r *remotes) close() {
	r.mu.Lock()
	r.closed = true
	for element := r.order.Front(); element != nil; element = r.order.Front() {
		remote := remoteOf(element)
		if remote.users > 0 {
			r.end(remote) // its users get an error
		}
		r.drop(element)
	}
	r.mu.Unlock()
	r.ending.Wait()
}

// remoteOf returns the value of an element. Every element has one.
func remoteOf(element *list.Element) *clientRemote {
	remote, _ := element.Value.(*clientRemote)
	return remote
}

var errIssuerClosed = fmt.Errorf("%w: the Issuer is closed", jwks.ErrUnavailable)
