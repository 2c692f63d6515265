package issuer

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

const (
	maxClientKeys = 1 << 12         // key sets of Client.JWKS that are kept parsed
	clientKeysFor = 5 * time.Minute // without use
	maxTried      = 3               // keys that an assertion without a kid is checked with
)

// errNoClientKey means that the client has no key for an assertion.
const errNoClientKey = constError("issuer: the client has no such key")

// clientKeys finds the public keys of clients: those in the record, parsed once, or those
// that the client publishes.
type clientKeys struct {
	parsed  *bounded[*parsedSet] // of Client.JWKS, by client id
	remotes *remotes             // of Client.JWKSURI
}

// parsedSet is the key set of a record.
type parsedSet struct {
	text []byte
	set  *jose.Set
	err  error
}

func newClientKeys(c jwks.RemoteConfig) *clientKeys {
	return &clientKeys{parsed: newBounded[*parsedSet](maxClientKeys, clientKeysFor), remotes: newRemotes(c)}
}

func (k *clientKeys) sweep() {
	k.parsed.sweep()
	k.remotes.sweep()
}

func (k *clientKeys) close() { k.remotes.close() }

// candidates returns the keys of the client that may have made a signature, at least one.
// With a kid that is one key. Without one, it is each of the few keys for the algorithm.
// The error is errNoClientKey, errKeysBusy, or one of [jwks.Source].
func (k *clientKeys) candidates(ctx context.Context, client *registry.Client, kid, alg string) ([]*jose.Key, error) {
	if client.JWKSURI != "" {
		return k.remotes.candidates(ctx, client, kid, alg)
	}
	p := k.parse(client)
	if p.err != nil {
		return nil, fmt.Errorf("%w: Client.JWKS: %w", errNoClientKey, p.err)
	}
	if kid == "" {
		return forAlgorithm(p.set.Keys(), alg)
	}
	if key := p.set.Find(kid, alg); key != nil {
		return []*jose.Key{key}, nil
	}
	for _, skipped := range p.set.Skipped() {
		if skipped.KeyID == kid {
			return nil, fmt.Errorf("%w: Client.JWKS: the key %.60q cannot be used: %w", errNoClientKey, kid, skipped.Err)
		}
	}
	return nil, fmt.Errorf("%w: no kid %.60q for %s", errNoClientKey, kid, alg)
}

// all returns all keys of the client.
func (k *clientKeys) all(ctx context.Context, client *registry.Client) ([]*jose.Key, error) {
	if client.JWKSURI != "" {
		return k.remotes.all(ctx, client)
	}
	p := k.parse(client)
	return p.set.Keys(), p.err
}

// parse returns the key set in the record. It parses a text once.
func (k *clientKeys) parse(client *registry.Client) *parsedSet {
	known, ok := k.parsed.get(client.ID)
	if ok && bytes.Equal(known.text, client.JWKS) {
		return known
	}
	p := &parsedSet{text: client.JWKS}
	if len(client.JWKS) > 0 { // else the set is nil, which is an empty one
		p.set, p.err = jose.ParseSet(client.JWKS, nil)
	}
	k.parsed.set(client.ID, p)
	return p
}

// forAlgorithm returns the keys for an algorithm, if there are few.
func forAlgorithm(keys []*jose.Key, alg string) ([]*jose.Key, error) {
	var found []*jose.Key
	for _, key := range keys {
		if sameAlgorithm(key.Algorithm(), alg) {
			found = append(found, key)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%w: none for %s", errNoClientKey, alg)
	case len(found) > maxTried:
		return nil, fmt.Errorf("%w: the assertion has no kid, and the client has %d keys for %s: write the kid into its header", errNoClientKey, len(found), alg)
	}
	return found, nil
}

// sameAlgorithm reports whether two names are of one algorithm (RFC 9864, section 2.2).
func sameAlgorithm(a, b string) bool {
	return a == b || (a == "EdDSA" || a == "Ed25519") && (b == "EdDSA" || b == "Ed25519")
}
