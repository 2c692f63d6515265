package issuertest

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

var stateFaults = []Fault{
	with("bound to a key", "cnf", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, event.SenderConstrained,
		"It is bound to a DPoP key (RFC 9449), and sent as a plain Bearer token."),
	with("bound to a certificate", "cnf", `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`, event.SenderConstrained,
		"It is bound to a client certificate (RFC 8705), and sent as a plain Bearer token."),
	revoked("revoked", "It is good, and the issuer has revoked it.", nil),
	revoked("revoked, another signature", "It is revoked, and has the second valid signature (r, n-s) of the same token.", mirrored),
}

// revoked is the fault of a token that the issuer has revoked.
func revoked(name, about string, spell func(token string) string) Fault {
	return Fault{Name: name, About: about, Status: http.StatusUnauthorized, Reason: event.Revoked, apply: func(d *draft, i *Issuer) error {
		d.spell = spell
		return i.revoke(context.Background(), d.claims.String())
	}}
}

// mirrored returns the token with the signature (r, n-s), which is valid if (r, s) is.
func mirrored(token string) string {
	return spelled(token, func(parts []string) {
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || len(signature) != 64 {
			return
		}
		s := new(big.Int).SetBytes(signature[32:])
		s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
		parts[2] = encode(string(signature))
	})
}

// revoke revokes the token with these claims.
func (i *Issuer) revoke(ctx context.Context, payload string) error {
	claims, err := jose.ParseObject(payload)
	if err != nil {
		return fmt.Errorf("the token to revoke: %w", err)
	}
	id, _, err := claims.String("jti")
	if err != nil {
		return fmt.Errorf("the token to revoke: %w", err)
	}
	expires, _, err := claims.Time("exp")
	if err != nil {
		return fmt.Errorf("the token to revoke: %w", err)
	}
	g, release := i.use()
	defer release()
	if g == nil {
		return errEnded
	}
	if err := g.issuer.RevokeToken(ctx, id, expires); err != nil {
		return err
	}
	return i.wrote(ctx, g)
}
