package issuertest

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

var algFaults = []Fault{
	unsigned("alg none", "none"),
	unsigned("alg None", "None"),
	unsigned("alg nOnE", "nOnE"),
	unsigned("alg unknown", "XX256"),
	header("alg none, signed", "alg", `"none"`, event.MalformedToken, "alg is none, and the signature is good."),
	header("alg unknown, signed", "alg", `"XX256"`, event.MalformedToken, "alg is XX256, and the signature is good."),
	refused("no alg", event.MalformedToken, "alg is missing.", func(d *draft) { d.header.remove("alg") }),
	header("alg list", "alg", `["ES256"]`, event.MalformedToken, "alg is an array."),
	hs256("HS256 with the public key", "the public key in PEM", func(key *ecdsa.PrivateKey) ([]byte, error) {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
	}),
	hs256("HS256 with the public key, DER", "the public key in DER", func(key *ecdsa.PrivateKey) ([]byte, error) {
		return x509.MarshalPKIXPublicKey(key.Public())
	}),
	hs256("HS256 with the public key, JWK", "the public key as a JWK", func(key *ecdsa.PrivateKey) ([]byte, error) {
		jwk, err := jwkOf(key)
		return []byte(jwk), err
	}),
	hs256("HS256 without a secret", "empty", func(*ecdsa.PrivateKey) ([]byte, error) { return nil, nil }),
	header("alg of another key", "alg", `"RS256"`, event.UnknownKey, "alg is RS256, and the key is an ES256 key."),
}

// unsigned is the fault of a token with this alg and without a signature.
func unsigned(name, alg string) Fault {
	return refused(name, event.MalformedToken, "alg is "+alg+", and there is no signature.", func(d *draft) {
		d.header.set("alg", quote(alg))
		d.mac = func(string) []byte { return nil }
	})
}

// hs256 is the fault of a token that an attacker has signed with what is no secret.
func hs256(name, about string, secret func(key *ecdsa.PrivateKey) ([]byte, error)) Fault {
	return Fault{
		Name: name, About: "alg is HS256, and the secret is " + about + ".", Status: http.StatusUnauthorized, Reason: event.MalformedToken,
		apply: func(d *draft, _ *Issuer) error {
			known, err := secret(d.key)
			if err != nil {
				return err
			}
			d.header.set("alg", `"HS256"`)
			d.mac = func(input string) []byte {
				mac := hmac.New(sha256.New, known)
				mac.Write([]byte(input))
				return mac.Sum(nil)
			}
			return nil
		},
	}
}

var kidFaults = []Fault{
	header("kid of a path", "kid", `"../../dev/null"`, event.UnknownKey, "kid is a path."),
	header("kid of SQL", "kid", `"' UNION SELECT 'secret' --"`, event.UnknownKey, "kid is a piece of SQL."),
	header("kid of an address", "kid", `"https://attacker.test/key"`, event.UnknownKey, "kid is an address."),
	header("kid empty", "kid", `""`, event.UnknownKey, "kid is empty."),
	refused("kid with NUL", event.MalformedToken, "kid has a NUL at the end.", func(d *draft) {
		d.header.set("kid", strings.TrimSuffix(d.header.get("kid"), `"`)+`\u0000"`)
	}),
	header("kid too long", "kid", quote(strings.Repeat("k", 1000)), event.MalformedToken, "kid has 1 000 characters."),
	header("kid number", "kid", `0`, event.MalformedToken, "kid is a number."),
	header("kid bool", "kid", `true`, event.MalformedToken, "kid is true."),
	header("kid null", "kid", `null`, event.MalformedToken, "kid is null."),
	refused("kid list", event.MalformedToken, "kid is an array.", func(d *draft) { d.header.set("kid", "["+d.header.get("kid")+"]") }),
	refused("kid object", event.MalformedToken, "kid is an object.", func(d *draft) { d.header.set("kid", `{"kid":`+d.header.get("kid")+"}") }),
	refused("no kid", event.UnknownKey, "It names no key.", func(d *draft) { d.header.remove("kid") }),
}

var headerFaults = []Fault{
	header("wrong typ", "typ", `"JWT"`, event.WrongTokenType, "typ is JWT, as of an ID token."),
	header("typ of a logout token", "typ", `"logout+jwt"`, event.WrongTokenType, "typ is that of a logout token."),
	header("typ of a client assertion", "typ", `"client-authentication+jwt"`, event.WrongTokenType, "typ is that of a client assertion."),
	header("typ of a DPoP proof", "typ", `"dpop+jwt"`, event.WrongTokenType, "typ is that of a DPoP proof."),
	refused("no typ", event.WrongTokenType, "typ is missing.", func(d *draft) { d.header.remove("typ") }),
	refused("crit", event.MalformedToken, "crit names an extension that the guard does not know.", func(d *draft) {
		d.header.set("crit", `["https://extension.test"]`)
		d.header.set("https://extension.test", "true")
	}),
	header("crit of a known header", "crit", `["typ"]`, event.MalformedToken, "crit names typ, which is no extension."),
	header("crit of a missing header", "crit", `["exp"]`, event.MalformedToken, "crit names a member that the header lacks."),
	header("crit empty", "crit", `[]`, event.MalformedToken, "crit is an empty array."),
	header("crit text", "crit", `"typ"`, event.MalformedToken, "crit is a string."),
	header("unencoded payload", "b64", `false`, event.MalformedToken, "b64 is false (RFC 7797), and crit is missing."),
	// By RFC 7797 the payload is the text in the middle, and not the JSON that it decodes
	// to. A guard that ignores b64 and crit takes it for ordinary claims.
	refused("unencoded payload, crit", event.MalformedToken, "b64 is false and in crit (RFC 7797), and the payload is encoded claims.", func(d *draft) {
		d.header.set("b64", "false")
		d.header.set("crit", `["b64"]`)
	}),
	{
		Name: "unencoded payload, JSON", About: "b64 is false and in crit (RFC 7797), and the payload is the claims.", Status: http.StatusBadRequest, Reason: event.MalformedRequest,
		apply: func(d *draft, _ *Issuer) error {
			d.header.set("b64", "false")
			d.header.set("crit", `["b64"]`)
			d.parts = func(header, _ string) (string, string) {
				return header, strings.ReplaceAll(d.claims.String(), ".", `\u002e`) // a dot would end it
			}
			return nil
		},
	},
	refused("duplicate header member", event.MalformedToken, "typ is there twice.", func(d *draft) { d.header.add("typ", `"at+jwt"`) }),
}
