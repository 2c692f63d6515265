package profile_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// now is the time of every check here. The tokens are issued a minute before it.
var now = time.Unix(1_790_000_000, 0)

// sure returns the value. An error means that the test itself is broken.
func sure[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// signers has a key for each algorithm that the tests need, and "other": a key that is
// not the issuer's.
var signers = sync.OnceValue(func() map[string]*jose.Signer {
	made := map[string]*jose.Signer{}
	for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
		made[alg] = sure(jose.NewSigner(sure(jose.Generate(alg)), alg))
	}
	made["other"] = sure(jose.NewSigner(sure(jose.Generate("ES256")), "ES256"))
	return made
})

// claims are a payload: the name and the JSON of each claim.
type claims map[string]json.RawMessage

// payload reads a document. ISSUED, BEFORE and EXPIRES in it are times.
func payload(doc string) claims {
	var c claims
	if err := json.Unmarshal([]byte(doc), &c); err != nil {
		panic(err)
	}
	return c
}

// with is a copy in which a claim has another JSON. "" removes it.
func (c claims) with(claim, value string) claims {
	changed := maps.Clone(c)
	if value == "" {
		delete(changed, claim)
		return changed
	}
	changed[claim] = json.RawMessage(value)
	return changed
}

func (c claims) String() string { return string(sure(json.Marshal(c))) }

// token is a payload, signed.
func token(typ, alg string, c claims) *jose.JWS { return signed(typ, signers()[alg], c.String()) }

func signed(typ string, s *jose.Signer, payload string) *jose.JWS {
	jws := sure(jose.Parse(sure(s.Sign(typ, []byte(payload))), 0))
	return &jws
}

func seconds(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }

func verify(p profile.Profile, typ, alg string, c claims, want profile.Want) (profile.Identity, error) {
	if want.Now.IsZero() {
		want.Now = now
	}
	return p.Verify(token(typ, alg, c), signers()[alg].Key(), want)
}

// wantRefused wants an Error with the reason ("" for any) and no identity.
func wantRefused(t *testing.T, id profile.Identity, err error, reason event.Reason) {
	t.Helper()
	var refused *profile.Error
	switch {
	case err == nil:
		t.Errorf("accepted: %s", id.Subject)
	case !errors.As(err, &refused):
		t.Errorf("the error is a %T: %v", err, err)
	case reason != "" && refused.Reason != reason:
		t.Errorf("refused as %q, not %q: %v", refused.Reason, reason, err)
	}
	if err != nil && !reflect.DeepEqual(id, profile.Identity{}) {
		t.Errorf("an identity beside the error %v: %+v", err, id)
	}
}
