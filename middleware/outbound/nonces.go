package outbound

import (
	"net/http"
	"sync"
	"time"
)

// maxNonce bounds a nonce, in bytes.
const maxNonce = 512

// nonceIn returns the nonce that a server sends, or "". Several are none: it cannot be told
// which one is meant (RFC 9449, section 8.2). So is one with a character that a nonce may
// not have (section 8.1).
func nonceIn(h http.Header) string {
	values := h["Dpop-Nonce"]
	if len(values) != 1 || len(values[0]) > maxNonce {
		return ""
	}
	for i := range len(values[0]) {
		if c := values[0][i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return ""
		}
	}
	return values[0]
}

// nonceOf is the latest nonce of one server, and its clock.
type nonceOf struct {
	mu     sync.Mutex
	nonce  string
	offset time.Duration // of this clock to the server's
}

func (n *nonceOf) get() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nonce
}

// learn takes the nonce of an answer, and reports whether it has another one than the
// request had.
func (n *nonceOf) learn(h http.Header, sent string) bool {
	nonce := nonceIn(h)
	if nonce == "" {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nonce = nonce
	return nonce != sent
}

// clock returns the offset of this clock to the server's.
func (n *nonceOf) clock() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.offset
}

// learnClock takes the Date of an answer that refuses a proof, and reports whether that is
// another time than the proof had. Other answers may come from a cache.
func (n *nonceOf) learnClock(h http.Header, sent time.Duration) bool {
	offset, known := clockOffset(h, time.Now())
	if !known || !differ(offset, sent) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.offset = offset
	return true
}

// differ reports whether proofs by two offsets have times that matter.
func differ(a, b time.Duration) bool { return (a - b).Abs() > clockTolerance }

// maxNonces bounds the APIs whose nonces are kept.
const maxNonces = 1024

// nonces are the latest nonces of APIs, by origin (RFC 9449, section 9). The token endpoint
// has its own, also at the same origin: its nonces may be others.
type nonces struct {
	mu sync.Mutex
	of map[origin]*nonceOf
}

// at returns the nonce of an origin. If there are too many, an arbitrary one is dropped:
// that costs one more request to its API.
func (n *nonces) at(o origin) *nonceOf {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.of[o]; known != nil {
		return known
	}
	if n.of == nil {
		n.of = map[origin]*nonceOf{}
	}
	if len(n.of) >= maxNonces {
		for dropped := range n.of {
			delete(n.of, dropped)
			break
		}
	}
	n.of[o] = &nonceOf{}
	return n.of[o]
}
