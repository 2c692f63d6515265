package issuertest

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// WorkloadKind is a kind of issuer whose tokens say who a workload is.
type WorkloadKind string

// The kinds that [NewWorkload] makes. Their tokens have the claims that the public
// documents show, and were never compared with a live token.
const (
	Kubernetes    WorkloadKind = "kubernetes"     // a service account of a cluster, by a projected volume
	GitHubActions WorkloadKind = "github-actions" // a job of GitHub Actions
	GitLabCI      WorkloadKind = "gitlab-ci"      // a job of GitLab CI, by id_tokens
	AWS           WorkloadKind = "aws"            // a role of AWS, by sts:GetWebIdentityToken
	GCP           WorkloadKind = "gcp"            // a service account of Google Cloud, by the metadata server
	Azure         WorkloadKind = "azure"          // a managed identity of Azure
	SPIFFEDraft   WorkloadKind = "spiffe-draft"   // a JWT-SVID of a SPIFFE trust domain
)

// WorkloadKinds returns all kinds, for a test that treats each of them.
func WorkloadKinds() []WorkloadKind {
	return []WorkloadKind{Kubernetes, GitHubActions, GitLabCI, AWS, GCP, Azure, SPIFFEDraft}
}

// Workload is an issuer of workload tokens that belongs to a test: a cluster, a CI system
// or a cloud. [NewWorkload] makes it. It is safe for concurrent use. The methods of a zero
// Workload fail the test, or do nothing.
type Workload struct {
	// KeySet makes the issuer's keys fail, and counts the requests for them. For
	// [Workload.Trust] each token is such a request.
	KeySet Switch

	layout *layout

	mu       sync.Mutex
	keys     []crypto.Signer // the first signs, the others are retained
	set      *jose.Set
	audience string // the first one of an entry
}

// NewWorkload makes an issuer of workload tokens. It does not listen: an [Issuer] asks for
// its keys in memory, so it works in a bubble of testing/synctest too.
func NewWorkload(tb testing.TB, kind WorkloadKind) *Workload {
	tb.Helper()
	w := &Workload{layout: layoutOf(kind)}
	if w.layout == nil {
		tb.Fatalf("issuertest: there is no kind %q of workload issuers: write one of %q", kind, WorkloadKinds())
		return w
	}
	w.KeySet.tb, w.KeySet.part = tb, "key set of "+string(kind)
	tb.Cleanup(w.KeySet.end)
	if err := w.replace(0); err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	return w
}

// made reports whether NewWorkload made the issuer. If not, it fails the test.
func (w *Workload) made(tb testing.TB) bool {
	if w != nil && w.layout != nil {
		return true
	}
	if tb != nil {
		tb.Helper()
		tb.Fatal("issuertest: this Workload was not made by issuertest.NewWorkload(t, kind)")
	}
	return false
}

// URL is the issuer identifier: the iss of tokens. It has the form of the real ones. That
// of GitHub and of Google is the real one, because their tokens have no other.
func (w *Workload) URL() string {
	if !w.made(nil) {
		return ""
	}
	return w.layout.issuer
}

// Subject is the sub of tokens. [Claim] makes a token of another one.
func (w *Workload) Subject() string {
	if !w.made(nil) {
		return ""
	}
	return w.layout.subject
}

// Entry is the line of a client's record that lets the workload be this client
// (Client.Workloads). The audience is the one that its tokens are for, mostly
// [Issuer.URL]. That of the first entry is the default of [Workload.Token].
func (w *Workload) Entry(audience string) registry.Workload {
	if !w.made(nil) {
		return registry.Workload{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.audience = cmp.Or(w.audience, audience)
	return registry.Workload{Issuer: w.layout.issuer, Subject: w.layout.subject, Audience: audience}
}

// Trust is an element of issuer.Config.WorkloadIssuers, with the profile of this kind. The
// keys are asked for in memory, so rotations count at the next request.
func (w *Workload) Trust() issuer.WorkloadIssuer {
	if !w.made(nil) {
		return issuer.WorkloadIssuer{}
	}
	return issuer.WorkloadIssuer{Issuer: w.layout.issuer, Profile: w.layout.profile, Keys: workloadKeys{w}}
}

// Remote is [Workload.Trust] with a key set that is found through the issuer's metadata
// and cached, as outside of tests: see [jwks.Remote]. Its requests go to
// [Workload.ServeHTTP] without a network.
func (w *Workload) Remote(tb testing.TB) issuer.WorkloadIssuer {
	if !w.made(tb) {
		return issuer.WorkloadIssuer{}
	}
	tb.Helper()
	keys := jwks.NewIssuerRemote(w.layout.issuer, jwks.RemoteConfig{Client: &http.Client{Transport: direct{w}}, Quiet: true})
	tb.Cleanup(func() { _ = keys.Close() })
	return issuer.WorkloadIssuer{Issuer: w.layout.issuer, Profile: w.layout.profile, Keys: keys}
}

// Token returns a token of the workload, as the platform would give it. It is for the
// audience of the first [Workload.Entry], else "https://auth.test". [Audience], [Claim] and
// [Lifetime] change it, other options make no sense here. [Bad] is for access tokens, and
// fails the test.
func (w *Workload) Token(tb testing.TB, options ...Option) string {
	if !w.made(tb) {
		return ""
	}
	tb.Helper()
	d, err := w.draft(options)
	if err == nil && d.fault != nil {
		err = fmt.Errorf("Bad(%q) is for access tokens: change the token of a workload by Claim, Audience or Lifetime", *d.fault)
	}
	token := ""
	if err == nil {
		token, err = d.token()
	}
	if err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	return token
}

// defaultServer is the aud of tokens before there is an entry.
const defaultServer = "https://auth.test"

// draft returns a good token.
func (w *Workload) draft(options []Option) (*draft, error) {
	w.mu.Lock()
	key, public, audience := w.keys[0], w.set.Keys()[0], cmp.Or(w.audience, defaultServer)
	w.mu.Unlock()
	claims, err := orderedMembers(w.layout.claims)
	if err != nil {
		return nil, err
	}
	d := &draft{now: time.Now(), claims: claims}
	d.header.set("alg", quote(public.Algorithm()))
	d.header.set("kid", quote(public.ID()))
	if w.layout.typ != "" {
		d.header.set("typ", quote(w.layout.typ))
	}
	d.mac = func(input string) []byte {
		signature, err := sign(key, input)
		if err != nil {
			d.err = err
		}
		return signature
	}
	issued := number(d.now.Unix())
	d.claims.replace("iss", quote(w.layout.issuer))
	d.claims.replace("sub", quote(w.layout.subject))
	d.claims.replace("iat", issued)
	d.claims.replace("nbf", issued)
	d.claims.replace("exp", number(d.now.Add(w.layout.lifetime).Unix()))
	d.claims.replace(cmp.Or(w.layout.profile.TokenID, "jti"), quote(strings.ToLower(rand.Text())))
	if strings.HasPrefix(d.claims.get("aud"), "[") {
		d.claim("aud", []string{audience})
	} else {
		d.claims.replace("aud", quote(audience))
	}
	for _, option := range options {
		if option != nil {
			option(d)
		}
	}
	if d.over && d.claims.get("iat") == issued {
		d.issuedBeforeExp()
		if d.claims.get("nbf") == issued {
			d.claims.set("nbf", d.claims.get("iat"))
		}
	}
	return d, d.err
}

// Rotate replaces the signing key. Tokens of the old keys stay valid: the key set holds
// the last four.
func (w *Workload) Rotate(tb testing.TB) { w.rotate(tb, retained) }

// EmergencyRotate replaces the signing key, and drops all others: their tokens are
// refused.
func (w *Workload) EmergencyRotate(tb testing.TB) { w.rotate(tb, 0) }

func (w *Workload) rotate(tb testing.TB, keep int) {
	if !w.made(tb) {
		return
	}
	tb.Helper()
	if err := w.replace(keep); err != nil {
		tb.Fatalf("issuertest: rotating the key: %v", err)
	}
}

// replace puts a new key before the ones that are kept.
func (w *Workload) replace(keep int) error {
	fresh, err := jose.Generate(w.layout.alg)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next := slices.Concat([]crypto.Signer{fresh}, w.keys[:min(keep, len(w.keys))])
	var published []*jose.Key
	for n, key := range next {
		if n > 0 { // the same pointer as before: see jwks.Source
			published = append(published, w.set.Keys()[n-1])
			continue
		}
		public, err := jose.NewKey(key.Public(), w.layout.alg, "")
		if err != nil {
			return err
		}
		published = append(published, public)
	}
	set, err := jose.NewSet(published...)
	if err != nil {
		return err
	}
	w.keys, w.set = next, set
	return nil
}

func (w *Workload) published() *jose.Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.set
}
