package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

var signatureFaults = []Fault{
	forged("unknown key", event.UnknownKey, "The key that signed it, and that it names, is not in the key set.", nameKey),
	forged("of another issuer", event.UnknownKey, "Another issuer has signed it: iss, kid and key are that one's.", func(d *draft, key *ecdsa.PrivateKey) error {
		d.claims.set("iss", `"https://other-issuer.test"`)
		return nameKey(d, key)
	}),
	forged("forged", event.BadSignature, "It names the issuer's key, and an attacker's key has signed it.", nothing),
	forged("expired and forged", event.BadSignature, "An attacker has signed it, and exp was an hour ago.", func(d *draft, _ *ecdsa.PrivateKey) error {
		return timeFaults[0].apply(d, nil)
	}).in(old),
	forged("embedded jwk", event.BadSignature, "An attacker has signed it, with the public key in its header.", func(d *draft, key *ecdsa.PrivateKey) error {
		jwk, err := jwkOf(key)
		d.header.set("jwk", jwk)
		return err
	}),
	forged("embedded jwk, of its kid", event.UnknownKey, "An attacker has signed it, with the public key and its kid in its header.", func(d *draft, key *ecdsa.PrivateKey) error {
		jwk, err := jwkOf(key)
		d.header.set("jwk", jwk)
		return errors.Join(err, nameKey(d, key))
	}),
	embedded("jku", `"https://attacker.test/jwks.json"`, "the address of the key set"),
	embedded("x5u", `"https://attacker.test/certificate.pem"`, "the address of a certificate"),
	forged("embedded x5c", event.BadSignature, "An attacker has signed it, with a certificate in its header.", func(d *draft, key *ecdsa.PrivateKey) error {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: d.now, NotAfter: d.now.AddDate(1, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		d.header.set("x5c", "["+quote(base64.StdEncoding.EncodeToString(der))+"]")
		return err
	}),
	refused("changed", event.BadSignature, "A claim was changed after it was signed.", func(d *draft) {
		d.spell = func(token string) string {
			d.claims.set("sub", `"admin"`)
			return spelled(token, func(parts []string) { parts[1] = encode(d.claims.String()) })
		}
	}),
	refused("signature of zeros", event.BadSignature, "The signature is zeros (CVE-2022-21449).", func(d *draft) {
		d.mac = func(string) []byte { return make([]byte, 64) }
	}),
	{
		Name: "signature in DER", About: "The signature is good, and in ASN.1 as of a certificate.", Status: http.StatusUnauthorized, Reason: event.BadSignature,
		apply: func(d *draft, _ *Issuer) error {
			d.mac = func(input string) []byte {
				sum := sha256.Sum256([]byte(input))
				der, _ := ecdsa.SignASN1(rand.Reader, d.key, sum[:]) // does not fail with a key of New
				return der
			}
			return nil
		},
	},
	refused("cut short", event.BadSignature, "The last 42 characters are missing.", func(d *draft) {
		d.spell = func(token string) string { return token[:max(len(token)-42, 0)] }
	}),
}

// forged is the fault of a token that an attacker's key has signed.
func forged(name string, reason event.Reason, about string, change func(d *draft, key *ecdsa.PrivateKey) error) Fault {
	return Fault{Name: name, About: about, Status: http.StatusUnauthorized, Reason: reason, apply: func(d *draft, _ *Issuer) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		d.key = key
		return change(d, key)
	}}
}

func embedded(member, value, what string) Fault {
	return forged("embedded "+member, event.BadSignature, "An attacker has signed it, with "+what+" in its header.", func(d *draft, _ *ecdsa.PrivateKey) error {
		d.header.set(member, value)
		return nil
	})
}

func nothing(*draft, *ecdsa.PrivateKey) error { return nil }

// nameKey has the token name this key.
func nameKey(d *draft, key *ecdsa.PrivateKey) error {
	public, err := jose.NewKey(key.Public(), "", "")
	if err != nil {
		return err
	}
	d.header.set("kid", quote(public.ID()))
	return nil
}

// jwkOf returns the public key as a JWK.
func jwkOf(key *ecdsa.PrivateKey) (string, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, encode(string(point[1:33])), encode(string(point[33:]))), nil
}
