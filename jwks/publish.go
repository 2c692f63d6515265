package jwks

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// publish makes the document of the view's keys, and its ETag.
func (v *view) publish(keys []*jose.Key) (err error) {
	set, err := jose.NewSet(keys...)
	if err != nil {
		return err
	}
	if v.document, err = set.MarshalJSON(); err != nil {
		return err
	}
	sum := sha256.Sum256(v.document)
	v.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
	return nil
}

// maxAge is how long a verifier may keep the set: Policy.MaxAge, less when the
// set changes before that, or when this replica cannot vouch for it that long.
// Under a second means not at all.
func (r *Keyring) maxAge(v *view) time.Duration {
	age := r.policy.MaxAge
	if r.store == nil {
		return age
	}
	now := r.shared(&v.state)
	if change := changesAt(v.times, r.policy, now); !change.IsZero() {
		age = max(min(age, change.Sub(now)), time.Second)
	}
	return min(age, r.publishable(v).Sub(r.now()))
}

// ServeHTTP answers with the JWK set (RFC 7517 §5), for
// /.well-known/jwks.json: the public members of every key that is announced,
// signing or retained. ETag and If-None-Match (RFC 9110 §13) spare the body;
// Cache-Control follows the timetable; browsers of any origin may read it. 503
// when the keyring cannot vouch for its keys.
func (r *Keyring) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	v, err := r.current(req.Context(), r.publishable)
	var age time.Duration
	if err == nil {
		age = r.maxAge(v)
	}
	if age < time.Second {
		h.Set("Cache-Control", "no-store")
		h.Set("Retry-After", "1")
		http.Error(w, "the key set is not available", http.StatusServiceUnavailable)
		return
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(age/time.Second)))
	h.Set("ETag", v.etag)
	if matches(req.Header.Values("If-None-Match"), v.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Content-Length", strconv.Itoa(len(v.document)))
	w.WriteHeader(http.StatusOK)
	if req.Method == http.MethodGet {
		_, _ = w.Write(v.document) // a reader that left is no concern of ours
	}
}

// matches is the weak comparison of RFC 9110 §13.1.2. Our tags hold no comma.
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
