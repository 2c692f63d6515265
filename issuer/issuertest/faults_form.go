package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

var keyFaults = []Fault{
	forged("unknown key", event.UnknownKey, "The key that signed it, and that it names, is not in the key set.", func(d *draft, kid, _ string) { d.header.set("kid", quote(kid)) }),
	forged("forged", event.BadSignature, "It names the issuer's key, and an attacker's key has signed it.", func(*draft, string, string) {}),
	forged("embedded jwk", event.BadSignature, "An attacker has signed it, with the public key in its header.", func(d *draft, _, jwk string) { d.header.set("jwk", jwk) }),
	forged("embedded jku", event.BadSignature, "An attacker has signed it, with the address of the key set in its header.", func(d *draft, _, _ string) {
		d.header.set("jku", `"https://attacker.test/jwks.json"`)
	}),
	forged("embedded x5u", event.BadSignature, "An attacker has signed it, with the address of a certificate in its header.", func(d *draft, _, _ string) {
		d.header.set("x5u", `"https://attacker.test/certificate.pem"`)
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
	refused("alg none", event.MalformedToken, "alg is none, and there is no signature.", func(d *draft) {
		d.header.set("alg", `"none"`)
		d.mac = func(string) []byte { return nil }
	}),
	refused("alg none, signed", event.MalformedToken, "alg is none, and the signature is good.", func(d *draft) { d.header.set("alg", `"none"`) }),
	{
		Name: "HS256 with the public key", About: "alg is HS256, and the secret is the public key.", Status: http.StatusUnauthorized, Reason: event.MalformedToken,
		apply: func(d *draft, _ *Issuer) error {
			der, err := x509.MarshalPKIXPublicKey(d.key.Public())
			if err != nil {
				return err
			}
			d.header.set("alg", `"HS256"`)
			d.mac = func(input string) []byte {
				mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
				mac.Write([]byte(input))
				return mac.Sum(nil)
			}
			return nil
		},
	},
	header("alg of another key", "alg", `"RS256"`, event.UnknownKey, "alg is RS256, and the key is an ES256 key."),
	header("kid of a path", "kid", `"../../dev/null"`, event.UnknownKey, "kid is a path."),
	refused("kid with NUL", event.MalformedToken, "kid has a NUL at the end.", func(d *draft) {
		d.header.set("kid", strings.TrimSuffix(d.header.get("kid"), `"`)+`\u0000"`)
	}),
	header("kid number", "kid", `0`, event.MalformedToken, "kid is a number."),
	refused("no kid", event.UnknownKey, "It names no key.", func(d *draft) { d.header.remove("kid") }),
}

// forged is the fault of a token that an attacker's key has signed.
func forged(name string, reason event.Reason, about string, change func(d *draft, kid, jwk string)) Fault {
	return Fault{Name: name, About: about, Status: http.StatusUnauthorized, Reason: reason, apply: func(d *draft, _ *Issuer) error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		public, err := jose.NewKey(key.Public(), "", "")
		if err != nil {
			return err
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return err
		}
		change(d, public.ID(), fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, encode(string(point[1:33])), encode(string(point[33:]))))
		d.key = key
		return nil
	}}
}

// header is the fault of a header with a member of this value.
func header(name, member, value string, reason event.Reason, about string) Fault {
	return refused(name, reason, about, func(d *draft) { d.header.set(member, value) })
}

var headerFaults = []Fault{
	header("wrong typ", "typ", `"JWT"`, event.WrongTokenType, "typ is JWT, as of an ID token."),
	header("typ of a logout token", "typ", `"logout+jwt"`, event.WrongTokenType, "typ is that of a logout token."),
	refused("no typ", event.WrongTokenType, "typ is missing.", func(d *draft) { d.header.remove("typ") }),
	header("crit", "crit", `["exp"]`, event.MalformedToken, "crit names an extension that the guard must know."),
	header("crit empty", "crit", `[]`, event.MalformedToken, "crit is an empty array."),
	header("unencoded payload", "b64", `false`, event.MalformedToken, "b64 is false (RFC 7797)."),
	refused("duplicate header member", event.MalformedToken, "typ is there twice.", func(d *draft) { d.header.add("typ", `"at+jwt"`) }),
}

var spellingFaults = []Fault{
	respelled("padded header", event.MalformedToken, "The header has padding.", func(token string) string { return strings.Replace(token, ".", "=.", 1) }),
	respelled("padded signature", event.BadSignature, "The signature has padding.", func(token string) string { return token + "==" }),
	respelled("trailing bits", event.BadSignature, "The last character has bits that mean nothing.", func(token string) string {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := len(token) - 1
		return token[:last] + alphabet[strings.IndexByte(alphabet, token[last])|1:][:1]
	}),
	{
		Name: "standard alphabet", About: "Its signature has + and / for - and _.", Status: http.StatusUnauthorized, Reason: event.BadSignature,
		apply: func(d *draft, _ *Issuer) error {
			signature, input := []byte(nil), ""
			d.mac = func(signed string) []byte { input = signed; return signature }
			if _, err := d.token(); err != nil {
				return err
			}
			for !strings.ContainsAny(encode(string(signature)), "-_") {
				var err error
				if signature, err = sign(d.key, input); err != nil {
					return err
				}
			}
			d.spell = func(token string) string {
				return spelled(token, func(parts []string) { parts[2] = strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) })
			}
			return nil
		},
	},
	respelled("percent-encoded", event.MalformedToken, "A dot is written as %2E.", func(token string) string { return strings.Replace(token, ".", "%2E", 1) }),
	respelled("dot at the end", event.MalformedToken, "A dot follows it.", func(token string) string { return token + "." }),
	respelled("no signature", event.MalformedToken, "It has no third part.", func(token string) string { return token[:strings.LastIndexByte(token, '.')] }),
	respelled("empty signature", event.MalformedToken, "Its third part is empty.", func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }),
	respelled("encrypted", event.MalformedToken, "It has five parts, as a JWE.", func(token string) string { return token + "." + encode("x") + "." + encode("x") }),
	respelled("too long", event.MalformedToken, "It is longer than 16 KiB.", func(token string) string { return token + strings.Repeat("A", 16<<10) }),
	respelled("opaque", event.MalformedToken, "It is not a JWT.", func(string) string { return "2YotnFZFEjr1zCsicMWpAA" }),
	{
		Name: "JSON serialisation", About: "It is a JWS in JSON (RFC 7515, section 7.2).", Status: http.StatusBadRequest, Reason: event.MalformedRequest,
		apply: func(d *draft, _ *Issuer) error {
			d.spell = func(token string) string {
				parts := strings.Split(token, ".")
				return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
			}
			return nil
		},
	},
}

// respelled is the fault of a good token in a spelling that is not its own.
func respelled(name string, reason event.Reason, about string, spell func(token string) string) Fault {
	return refused(name, reason, about, func(d *draft) { d.spell = spell })
}

// spelled returns the token with its three parts changed.
func spelled(token string, change func(parts []string)) string {
	parts := strings.Split(token, ".")
	change(parts)
	return strings.Join(parts, ".")
}
