package issuertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// Option says what a token of [Issuer.Token] or [Issuer.Client] is like.
type Option func(*draft)

// Scopes grants a token these scopes. Default none.
func Scopes(scopes ...string) Option {
	return func(d *draft) { d.claims.set("scope", quote(strings.Join(scopes, " "))) }
}

// Audience makes a token for these audiences. Default: the first one that a guard was
// made for by [Issuer.Bearer] or [Issuer.Remote], else "https://api.test".
func Audience(audience ...string) Option {
	return func(d *draft) {
		if len(audience) == 1 {
			d.claims.set("aud", quote(audience[0]))
			return
		}
		d.claim("aud", append([]string{}, audience...))
	}
}

// ClientID makes a token of this client. It need not be registered. Default
// "test-client".
func ClientID(id string) Option {
	return func(d *draft) {
		d.claims.set("sub", quote(id))
		d.claims.set("client_id", quote(id))
	}
}

// Claim adds a claim, or replaces one, by a value that encoding/json can encode.
func Claim(name string, value any) Option {
	return func(d *draft) { d.claim(name, value) }
}

// Lifetime makes a token expire so long after now, in whole seconds. A guard accepts it
// for its leeway longer. Default 15 min. With 0 or a negative lifetime it was issued 15 min
// before it expired, unless [Claim] sets iat.
func Lifetime(lifetime time.Duration) Option {
	return func(d *draft) {
		d.claims.set("exp", number(max(d.now.Add(lifetime).Unix(), defaultLifetime)))
		d.over = lifetime <= 0
	}
}

// Bad makes a token with the fault of that name, one of [Faults]. It has nothing else
// wrong with it, and the signature of the issuer's own key, unless that is the fault.
func Bad(fault string) Option {
	return func(d *draft) { d.fault = &fault }
}

// Token returns a token of this issuer, signed by its current key. It needs no client, no
// secret and no request. Later options override earlier ones.
func (i *Issuer) Token(tb testing.TB, options ...Option) string {
	if !i.made(tb) {
		return ""
	}
	tb.Helper()
	token, err := i.mint(options)
	if err != nil {
		tb.Fatalf("issuertest: %v", err)
	}
	return token
}

func (i *Issuer) mint(options []Option) (string, error) {
	d, err := i.draft(options)
	if err != nil {
		return "", err
	}
	if d.fault != nil {
		f, err := faultNamed(*d.fault)
		if err != nil {
			return "", err
		}
		if err := f.of(d, i); err != nil {
			return "", err
		}
	}
	return d.token()
}

// draft is a token before it is signed.
type draft struct {
	now            time.Time
	header, claims members
	payload        string            // instead of claims, unless it is empty
	key            *ecdsa.PrivateKey // that signs; nil: mac does
	mac            func(input string) []byte
	parts          func(header, payload string) (string, string) // changes the encoded parts before they are signed; nil: does not
	spell          func(token string) string                     // changes the text of the signed token; nil: does not

	confirmation members     // of cnf
	prover       *pop.Prover // whose key it is bound to; nil: to none

	over  bool    // its lifetime is
	fault *string // the name; nil: it has none
	err   error   // of an option
}

// draft returns a good token: the claims are those that the issuer's own tokens have.
func (i *Issuer) draft(options []Option) (*draft, error) {
	g, release := i.use()
	if g == nil {
		return nil, errEnded
	}
	defer release()
	key := g.keys[0]
	public, err := jose.NewKey(key.Public(), "", "")
	if err != nil {
		return nil, err
	}
	id, err := i.tokenID(context.Background())
	if err != nil {
		return nil, err
	}
	d := &draft{now: time.Now(), key: key}
	d.header.set("alg", quote(public.Algorithm()))
	d.header.set("kid", quote(public.ID()))
	d.header.set("typ", quote("at+jwt"))
	d.claims.set("iss", quote(i.URL()))
	d.claims.set("sub", quote(defaultClient))
	d.claims.set("aud", quote(i.defaultAudience()))
	d.claims.set("exp", number(d.now.Unix()+defaultLifetime))
	d.claims.set("iat", number(d.now.Unix()))
	d.claims.set("jti", quote(id))
	d.claims.set("client_id", quote(defaultClient))
	for _, option := range options {
		if option != nil {
			option(d)
		}
	}
	if d.over && d.claims.get("iat") == number(d.now.Unix()) {
		d.issuedBeforeExp()
	}
	return d, d.err
}

// issuedBeforeExp moves iat to the default lifetime before exp.
func (d *draft) issuedBeforeExp() {
	if exp, err := strconv.ParseInt(d.claims.get("exp"), 10, 64); err == nil {
		d.claims.set("iat", number(exp-defaultLifetime))
	}
}

// tokenID returns a jti as the issuer makes them: with the sequence of the feed, so that
// a cut-off refuses the tokens before it and no token after it.
func (i *Issuer) tokenID(ctx context.Context) (string, error) {
	var end int64
	for more := true; more; {
		page, err := i.memory.Changes(ctx, end)
		if err != nil {
			return "", err
		}
		end, more = page.End, page.More
		if more && len(page.Changes) > 0 {
			end = page.Changes[len(page.Changes)-1].Sequence
		}
	}
	raw := make([]byte, 8+4+16) // sequence, no secret, random
	binary.BigEndian.PutUint64(raw, uint64(max(end, 0)))
	_, _ = rand.Read(raw[12:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

func (i *Issuer) defaultAudience() string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.audience == "" {
		return defaultAudience
	}
	return i.audience
}

// claim sets a claim to any value.
func (d *draft) claim(name string, value any) {
	encoded, err := json.Marshal(value)
	if err != nil {
		d.err = fmt.Errorf("the claim %q: %w", name, err)
		return
	}
	d.claims.set(name, string(encoded))
}

// token signs the draft.
func (d *draft) token() (string, error) {
	payload := d.payload
	if payload == "" {
		payload = d.claims.String()
	}
	header, payload := encode(d.header.String()), encode(payload)
	if d.parts != nil {
		header, payload = d.parts(header, payload)
	}
	input := header + "." + payload
	var signature []byte
	if d.mac != nil {
		if signature = d.mac(input); d.err != nil {
			return "", d.err
		}
	} else {
		var err error
		if signature, err = sign(d.key, input); err != nil {
			return "", err
		}
	}
	token := input + "." + encode(string(signature))
	if d.spell != nil {
		token = d.spell(token)
	}
	return token, nil
}
