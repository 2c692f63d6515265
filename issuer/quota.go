package issuer

import "sync"

const (
	// maxRevocations is how many revoked tokens of one client are kept as entries of
	// their own. The client's next revocation is a cut-off: one entry that revokes all of
	// its tokens.
	maxRevocations = 10_000

	// maxWrites is how many revocations of one client are written at once. For more the
	// answer is 429.
	maxWrites = 4
)

// writing counts the writes under way of each client.
type writing struct {
	mu      sync.Mutex
	clients map[string]int
}

func newWriting() *writing { return &writing{clients: map[string]int{}} }

// begin reports whether the client may write. If so, the caller must call end.
func (w *writing) begin(clientID string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients[clientID] >= maxWrites {
		return false
	}
	w.clients[clientID]++
	return true
}

func (w *writing) end(clientID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients[clientID]--; w.clients[clientID] <= 0 {
		delete(w.clients, clientID)
	}
}
