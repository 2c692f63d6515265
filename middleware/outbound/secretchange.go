package outbound

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	secretPoll     = time.Second            // between reads of a secret's file after a refusal
	secretPollWait = 250 * time.Millisecond // of one read: calls wait for it
	maxRefused     = 10                     // refused secrets: after so many, changes of the file end no delay
)

// refusals are the secrets that the server has refused since it accepted one, as the
// SecretFile has them. The delay of a refusal is for the secrets that were tried: a new one
// in the file is tried at once.
type refusals struct {
	mu     sync.Mutex
	file   *secretFile // nil if a change of it ends no delay
	tried  []string
	polled time.Time
}

// note notes the outcome of a fetch and the secrets that it tried.
func (r *refusals) note(file *secretFile, err error, tried ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := errors.AsType[*Error](err)
	switch {
	case err == nil:
		r.file, r.tried = nil, nil
		return
	case !ok || errors.Is(e, ErrUnavailable) || e.Code != "invalid_client" && e.Status != http.StatusUnauthorized:
		return // it says nothing of the secret
	}
	if r.file = file; e.retryAfter > 0 { // the server says when to try
		r.file = nil
	}
	for _, secret := range tried {
		if !slices.Contains(r.tried, secret) {
			r.tried = append(r.tried, secret)
		}
	}
	r.polled = time.Now()
}

// changed reports whether the file has a secret that was not tried yet. It reads the file
// once a second at most, however many calls ask.
func (r *refusals) changed(ctx context.Context) bool {
	file := r.due()
	if file == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, secretPollWait)
	defer cancel()
	secret, err := file.wait(ctx, file.begin(), false)
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != file || slices.Contains(r.tried, secret) {
		return false
	}
	r.tried = append(r.tried, secret) // whatever comes of it, it ends one delay
	return true
}

// due returns the file if it is to be read now.
func (r *refusals) due() *secretFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.file == nil || len(r.tried) >= maxRefused || now.Sub(r.polled) < secretPoll {
		return nil
	}
	r.polled = now
	return r.file
}

// secretChanged ends the delay after a refused secret if the file has another one, and
// reports whether it has. The next try is the only one, as after every failure.
func (f *family) secretChanged(ctx context.Context) bool {
	f.mu.Lock()
	waits := !f.closed && f.backoff.slow && f.backoff.probe == nil && !f.backoff.ready(time.Now())
	f.mu.Unlock()
	if !waits || !f.fetcher.refusals.changed(ctx) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.backoff.slow && f.backoff.probe == nil {
		now := time.Now()
		f.backoff.next, f.backoff.hold = now, now
	}
	return true
}
