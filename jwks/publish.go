package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAge returns how long a verifier may cache the set: Policy.MaxAge, or less if the
// set changes before that, or if this replica cannot vouch for it that long. Less
// than a second means that the set must not be published.
func (r *Keyring) maxAge(s *snapshot) time.Duration {
	age, now := r.policy.MaxAge, r.agreed(&s.state)
	if change := changesAt(s.times, r.policy, now); !change.IsZero() {
		age = max(min(age, change.Sub(now)), time.Second)
	}
	if r.store == nil {
		return age
	}
	return min(age, publishable(r.policy)-r.elapsed(s.read))
}

// ServeHTTP answers with the JWK set (RFC 7517, section 5), for
// /.well-known/jwks.json. It holds the public members of every key that is announced,
// signing or retained. ETag and If-None-Match (RFC 9110, section 13) save the body.
// Cache-Control follows the timetable. Browsers of any origin may read the set. The
// answer is 503 while the keyring cannot vouch for its keys.
func (r *Keyring) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	s, err := r.current(req.Context(), publishable)
	var age time.Duration
	if err == nil {
		age = r.maxAge(s)
	}
	if age < time.Second {
		h.Set("Cache-Control", "no-store")
		h.Set("Retry-After", "1")
		http.Error(w, "the key set is not available", http.StatusServiceUnavailable)
		return
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(age/time.Second)))
	h.Set("ETag", s.etag)
	if matches(req.Header.Values("If-None-Match"), s.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Content-Length", strconv.Itoa(len(s.document)))
	w.WriteHeader(http.StatusOK)
	if req.Method == http.MethodGet {
		_, _ = w.Write(s.document) // the client may have left
	}
}

// matches is the weak comparison of RFC 9110, section 13.1.2. Our tags contain no
// comma.
func matches(ifNoneMatch []string, etag string) bool {
	for _, line := range ifNoneMatch {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
