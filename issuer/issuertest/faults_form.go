package issuertest

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

var spellingFaults = []Fault{
	refused("padded header", event.MalformedToken, "The header has padding, and the signature is of that.", func(d *draft) {
		d.parts = func(header, payload string) (string, string) { return header + "=", payload }
	}),
	refused("padded payload", event.MalformedToken, "The payload has padding, and the signature is of that.", func(d *draft) {
		d.parts = func(header, payload string) (string, string) { return header, payload + "=" }
	}),
	respelled("padded signature", event.MalformedToken, "The signature has padding.", func(token string) string { return token + "==" }),
	respelled("trailing bits", event.MalformedToken, "The last character has bits that mean nothing.", func(token string) string {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := len(token) - 1
		return token[:last] + alphabet[strings.IndexByte(alphabet, token[last])|1:][:1]
	}),
	{
		Name: "standard alphabet", About: "Its signature has + and / for - and _.", Status: http.StatusUnauthorized, Reason: event.MalformedToken,
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
	respelled("in quotes", event.MalformedToken, "It is in quotation marks.", func(token string) string { return `"` + token + `"` }),
	respelled("tab in the signature", event.MalformedToken, "A tab is in its signature.", func(token string) string { return inSignature(token, "\t") }),
	respelled("newline in the signature", event.MalformedToken, "A newline is in its signature. No HTTP client sends it.", func(token string) string { return inSignature(token, "\n") }),
	severalWords("space in the signature", "A space is in its signature.", func(token string) string { return inSignature(token, " ") }),
	severalWords("Bearer twice", "The name of the scheme precedes it a second time.", func(token string) string { return "Bearer " + token }),
	severalWords("two tokens", "A second token follows it, as of two header lines that a proxy has joined.", func(token string) string { return token + ", Bearer " + token }),
	respelled("dot at the end", event.MalformedToken, "A dot follows it.", func(token string) string { return token + "." }),
	respelled("no signature", event.MalformedToken, "It has no third part.", func(token string) string { return token[:strings.LastIndexByte(token, '.')] }),
	respelled("empty signature", event.MalformedToken, "Its third part is empty.", func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }),
	respelled("encrypted", event.MalformedToken, "It has five parts, as a JWE.", func(token string) string { return token + "." + encode("x") + "." + encode("x") }),
	respelled("encrypted, p2c", event.MalformedToken, "It is a JWE whose p2c asks for two billion rounds.", func(string) string {
		return encode(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAAAAAAAAA"}`) + ".AA.AA.AA.AA"
	}),
	respelled("opaque", event.MalformedToken, "It is not a JWT.", func(string) string { return "2YotnFZFEjr1zCsicMWpAA" }),
	respelled("undefined", event.MalformedToken, "It is the word undefined, as of a program in JavaScript without a token.", func(string) string { return "undefined" }),
	severalWords("JSON serialisation", "It is a JWS in JSON (RFC 7515, section 7.2).", func(token string) string {
		parts := strings.Split(token, ".")
		return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
	}),
}

// A megabyte of token is as much as a server of net/http reads of a request's headers.
var sizeFaults = []Fault{
	respelled("too long", event.MalformedToken, "It is longer than 16 KiB.", func(token string) string { return token + strings.Repeat("A", 16<<10) }),
	refused("kid of a megabyte", event.MalformedToken, "It is a megabyte long, nearly all of it kid.", func(d *draft) {
		d.header.set("kid", quote(strings.Repeat("k", 780_000))) // in base64url a third more
	}),
	header("header too deep", "x", strings.Repeat("[", 2000)+strings.Repeat("]", 2000), event.MalformedToken, "Its header has 2 000 arrays in each other."),
	refused("header of many members", event.MalformedToken, "Its header has 500 members.", func(d *draft) {
		for n := range 500 {
			d.header.add("x"+number(int64(n)), "0")
		}
	}),
	with("claims too deep", "x", strings.Repeat("[", 2000)+strings.Repeat("]", 2000), event.InvalidClaims, "It has 2 000 arrays in each other."),
	respelled("megabyte of dots", event.MalformedToken, "It is a megabyte of dots.", func(string) string { return strings.Repeat(".", 1<<20) }),
}

// respelled is the fault of a good token in a spelling that is not its own.
func respelled(name string, reason event.Reason, about string, spell func(token string) string) Fault {
	return refused(name, reason, about, func(d *draft) { d.spell = spell })
}

// severalWords is the fault of what is not one token, which the guard answers 400.
func severalWords(name, about string, spell func(token string) string) Fault {
	f := respelled(name, event.MalformedRequest, about, spell)
	f.Status = http.StatusBadRequest
	return f
}

// inSignature returns the token with a text in its signature.
func inSignature(token, text string) string {
	middle := strings.LastIndexByte(token, '.') + 40
	return token[:middle] + text + token[middle:]
}

// spelled returns the token with its three parts changed.
func spelled(token string, change func(parts []string)) string {
	parts := strings.Split(token, ".")
	change(parts)
	return strings.Join(parts, ".")
}
