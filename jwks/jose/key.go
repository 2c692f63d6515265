package jose

import (
	"cmp"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Key is a public key that verifies signatures. It has one algorithm, whatever a
// token says (RFC 8725, section 3.1). It is immutable. The zero Key verifies
// nothing.
type Key struct {
	id     string
	alg    *algorithm
	public crypto.PublicKey
	print  string // the thumbprint, "" until newKey needed it
}

// maxKeyID is the longest key id in bytes.
const maxKeyID = 256

// NewKey makes a Key from an *ecdsa.PublicKey, an ed25519.PublicKey or an
// *rsa.PublicKey. An empty alg means the algorithm of the key's curve, EdDSA for
// Ed25519, or RS256 for RSA. An empty kid means the SHA-256 thumbprint of
// RFC 7638.
//
// A key that the algorithm cannot use is an error: a point that is not on the
// curve or has small order, an RSA modulus under 2048 bits, an even exponent.
func NewKey(public crypto.PublicKey, alg, kid string) (*Key, error) {
	k, err := newKey(public, alg, kid)
	if err != nil {
		return nil, fmt.Errorf("jose: key: %w", err)
	}
	return k, nil
}

func newKey(public crypto.PublicKey, alg, kid string) (*Key, error) {
	if alg == "" {
		alg = defaultAlgorithm(public)
	}
	a := algorithms[alg]
	if a == nil {
		return nil, fmt.Errorf("no usable algorithm (%.40q) for a %T", alg, public)
	}
	if err := a.fits(public); err != nil {
		return nil, err
	}
	return a.key(public, kid)
}

// key makes a key of a public key that fits.
func (a *algorithm) key(public crypto.PublicKey, kid string) (*Key, error) {
	if len(kid) > maxKeyID {
		return nil, fmt.Errorf("the key id has more than %d bytes", maxKeyID)
	}
	k := &Key{id: kid, alg: a, public: public}
	if kid == "" {
		var err error
		if k.print, err = thumbprint(public); err != nil {
			return nil, err
		}
		k.id = k.print
	}
	return k, nil
}

// ParseKey reads one public JWK (RFC 7517, section 4) for an algorithm, such as the key
// in the header of a DPoP proof. It is as strict as [ParseSet] is with an entry. A
// private or symmetric key is refused, and so is one whose own alg, use or key_ops is
// for something else. An empty alg means the key's own, or else the default that
// [NewKey] chooses.
//
// Not checked: that the sender of the key has its private half, and members such as
// x5c.
func ParseKey(jwk []byte, alg string) (*Key, error) {
	if alg != "" && algorithms[alg] == nil {
		return nil, fmt.Errorf("jose: key: the algorithm %.40q is not one of %s", alg, strings.Join(Algorithms(), ", "))
	}
	k, _, err := parseKeyFor(string(jwk), alg)
	if err != nil {
		return nil, fmt.Errorf("jose: key: %w", err)
	}
	return k, nil
}

// ID returns the key id (kid). The zero Key has none.
func (k *Key) ID() string {
	if k == nil {
		return ""
	}
	return k.id
}

// Algorithm returns the one JWS algorithm that the key verifies, such as "ES256".
// The zero Key has none.
func (k *Key) Algorithm() string {
	if k == nil || k.alg == nil {
		return ""
	}
	return k.alg.name
}

// Thumbprint returns the SHA-256 thumbprint of RFC 7638, base64url: the jkt of a token
// that is bound to the key. The zero Key has none.
func (k *Key) Thumbprint() string {
	switch {
	case !k.valid():
		return ""
	case k.print != "":
		return k.print
	}
	computed, err := thumbprint(k.public)
	if err != nil { // newKey has checked the key
		return ""
	}
	return computed
}

// Public returns the key: an *ecdsa.PublicKey, an ed25519.PublicKey or an
// *rsa.PublicKey. It must not be changed.
func (k *Key) Public() crypto.PublicKey {
	if k == nil {
		return nil
	}
	return k.public
}

// Verify checks a signature of a message with the algorithm of the key. The signature
// has the form that JWS gives it (RFC 7518, section 3): an ECDSA signature is R and S
// with fixed lengths, not ASN.1. The zero Key verifies nothing.
//
// For a token use [Parse] and [JWS.Verify], which check its form too.
func (k *Key) Verify(message, signature []byte) error {
	if !k.valid() {
		return errors.New("jose: no key to verify with")
	}
	if err := k.alg.verify(k.public, message, signature); err != nil {
		return fmt.Errorf("jose: signature: %w", err)
	}
	return nil
}

// Equal reports whether both have the same id, the same algorithm and the same
// public key. EdDSA and Ed25519 count as two algorithms here.
func (k *Key) Equal(other *Key) bool {
	if !k.valid() || !other.valid() {
		return k == other
	}
	return k.alg == other.alg && k.id == other.id && k.samePublic(other)
}

// valid is false for nil and for the zero Key.
func (k *Key) valid() bool { return k != nil && k.alg != nil }

// answers reports whether k is what a token with this kid and alg asks for.
func (k *Key) answers(kid, alg string) bool { return k.id == kid && k.alg.named(alg) }

func (k *Key) samePublic(other *Key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(other.public)
}

// privateMembers are those that only a private or a symmetric key has (RFC 7518,
// sections 6.2.2, 6.3.2 and 6.4; RFC 8037, section 2).
var privateMembers = []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"}

// parseKey reads one public JWK (RFC 7517, section 4) that may verify signatures. A
// member that is null or empty counts as absent. It returns the kid as far as it could be
// read, also with an error.
func parseKey(raw string) (key *Key, kid string, err error) { return parseKeyFor(raw, "") }

// parseKeyFor is parseKey for an algorithm, which the key's own must not contradict. An
// empty one means the key's own.
func parseKeyFor(raw, wanted string) (key *Key, kid string, err error) {
	members, err := ParseObject(raw)
	if err != nil {
		return nil, "", err
	}
	kid, err1 := members.stated("kid")
	if len(kid) > maxKeyID {
		return nil, strings.Clone(kid[:maxKeyID]), fmt.Errorf("the kid has more than %d bytes", maxKeyID)
	}
	kid = strings.Clone(kid) // the document may be large
	alg, err2 := members.stated("alg")
	use, err3 := members.stated("use")
	ops, err4 := members.operations()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, kid, err
	}
	switch {
	case slices.ContainsFunc(privateMembers, members.says):
		return nil, kid, errors.New("the key is private or symmetric") // so it is known to others by now
	case use != "" && use != "sig":
		return nil, kid, fmt.Errorf("the key is not for signatures (use is %.40q)", use)
	case ops != nil && !slices.Contains(ops, "verify"):
		return nil, kid, fmt.Errorf("the key is not for verifying (key_ops is %.40q)", ops)
	}
	if alg != "" && algorithms[alg] == nil {
		return nil, kid, fmt.Errorf("the algorithm %.40q is not one of %s", alg, strings.Join(Algorithms(), ", "))
	}
	if wanted != "" {
		if alg != "" && !algorithms[alg].named(wanted) {
			return nil, kid, fmt.Errorf("the key is for %s, not for %s", alg, wanted)
		}
		alg = wanted
	}
	if point := members.canonicalEC(); point != nil {
		if alg = cmp.Or(alg, defaultAlgorithm(point)); algorithms[alg].curve == point.Curve {
			key, err = algorithms[alg].key(point, kid) // reading it has checked that it is on the curve
			return key, kid, err
		}
	}
	public, err := members.public()
	if err != nil {
		return nil, kid, err
	}
	key, err = newKey(public, alg, kid)
	return key, kid, err
}

// says reports whether a member is neither null nor empty.
func (o *Object) says(name string) bool {
	raw, ok := o.get(name)
	if !ok || raw == "null" || raw == `""` {
		return false
	}
	empty := raw[0] == '[' || raw[0] == '{'
	return !empty || strings.Trim(raw[1:len(raw)-1], " \t\r\n") != ""
}

// stated returns a string, "" if the member is absent, null or empty.
func (o *Object) stated(name string) (string, error) {
	if !o.says(name) {
		return "", nil
	}
	value, _, err := o.String(name)
	return value, err
}

// operations returns key_ops, nil if it is absent, null or empty.
func (o *Object) operations() ([]string, error) {
	if !o.says("key_ops") {
		return nil, nil
	}
	if raw, _ := o.get("key_ops"); raw[0] != '[' {
		return nil, errors.New("key_ops is no array")
	}
	ops, _, err := o.Strings("key_ops")
	return ops, err
}

// material returns a JWK of the members that make up the public key. Other members, such
// as certificates, are not used and may be wrong.
func (o *Object) material() ([]byte, error) {
	kty, err := o.stated("kty")
	if err != nil {
		return nil, err
	}
	var names []string
	switch kty {
	case "EC":
		names = []string{"crv", "x", "y"}
	case "OKP":
		names = []string{"crv", "x"}
	case "RSA":
		names = []string{"n", "e"}
	case "":
		return nil, errors.New("the key has no kty")
	default:
		return nil, fmt.Errorf("the key type %.40q is not one of EC, OKP, RSA", kty)
	}
	jwk := map[string]string{"kty": kty}
	for _, name := range names {
		value, err := o.stated(name)
		if err == nil && value == "" {
			err = fmt.Errorf("the key has no %s", name)
		}
		if err != nil {
			return nil, err
		}
		jwk[name] = value
	}
	return json.Marshal(jwk)
}
