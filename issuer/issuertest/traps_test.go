package issuertest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// refusal is a group of faults, and what the guard's error says of each.
type refusal struct {
	says   string
	faults []string
}

// trap is a line of "Bearer validation" of the traps that others fell into.
type trap struct {
	line      string
	refusals  []refusal
	elsewhere []string // tests of what is no fault of one token
}

const (
	notAllowed  = "alg is missing or not allowed"
	unknownKey  = "unknown key"
	noMatch     = "signature: it does not match"
	shape       = "not a compact JWS of three non-empty parts"
	uncritical  = "crit and b64 are not understood"
	noText      = "kid is not a string"
	notOne      = "more than one token in the Authorization header"
	noObject    = "no JSON object"
	twice       = "members have unique names"
	noDate      = " is not a date in seconds"
	illegalText = "illegal base64 data"
)

var traps = []trap{
	{"HS256 with the public key as secret", []refusal{
		{notAllowed, []string{"HS256 with the public key", "HS256 with the public key, DER", "HS256 with the public key, JWK", "HS256 without a secret"}},
	}, nil},
	{"none in any case", []refusal{
		{shape, []string{"alg none", "alg None", "alg nOnE"}}, {notAllowed, []string{"alg none, signed"}},
	}, nil},
	{"unknown alg with empty signature", []refusal{
		{shape, []string{"alg unknown", "empty signature", "no signature"}}, {notAllowed, []string{"alg unknown, signed", "no alg"}}, {"alg is not a string", []string{"alg list"}},
	}, nil},
	{"alg of another key", []refusal{{unknownKey, []string{"alg of another key"}}}, []string{"middleware TestForgedAlgOfAnotherKey"}},
	{"key with use=enc, symmetric key in a remote set", nil, []string{"jwks/jose TestSkippedSaysWhy", "jwks/jose TestParseSet"}},
	{"signed by another key", []refusal{
		{unknownKey, []string{"unknown key"}}, {noMatch, []string{"forged", "changed", "signature of zeros", "signature in DER", "cut short"}},
	}, nil},
	{"embedded jwk, jku, x5u, x5c", []refusal{{noMatch, []string{"embedded jwk", "embedded jku", "embedded x5u", "embedded x5c"}}, {unknownKey, []string{"embedded jwk, of its kid"}}}, nil},
	{"kid with path, SQL, NUL, 1 MB, of another type", []refusal{
		{unknownKey, []string{"kid of a path", "kid of SQL", "kid of an address", "kid empty", "no kid"}},
		{"kid holds a character that is not printable", []string{"kid with NUL"}},
		{"kid of more than 256 bytes", []string{"kid too long"}},
		{", more than 16384", []string{"kid of a megabyte"}},
		{noText, []string{"kid number", "kid bool", "kid null", "kid list", "kid object"}},
	}, nil},
	{"crit unknown, empty, known; b64:false", []refusal{
		{uncritical, []string{"crit", "crit of a known header", "crit of a missing header", "crit empty", "crit text", "unencoded payload", "unencoded payload, crit"}},
		{notOne, []string{"unencoded payload, JSON"}},
	}, nil},
	{"exp, nbf, iat as string, bool, null, 1e30, -1, missing", []refusal{
		{"exp" + noDate, []string{"exp text", "exp bool", "exp null", "exp too large", "exp of 64 bits", "exp negative", "exp in milliseconds"}},
		{"nbf" + noDate, []string{"nbf text", "nbf bool", "nbf null", "nbf too large", "nbf of 64 bits", "nbf negative", "nbf in milliseconds"}},
		{"iat" + noDate, []string{"iat text", "iat bool", "iat null", "iat too large", "iat of 64 bits", "iat negative", "iat in milliseconds"}},
		{"exp is missing", []string{"no exp"}}, {"iat is missing", []string{"no iat"}},
	}, nil},
	{"exp, nbf, iat as float", []refusal{
		{"exp: expired at", []string{"expired, with a fraction", "expired, with an exponent"}},
		{"nbf: not valid before", []string{"not yet valid, with a fraction", "not yet valid, with an exponent"}},
		{"iat: issued in the future", []string{"issued in the future, with a fraction", "issued in the future, with an exponent"}},
	}, []string{"issuer/issuertest TestTimesAreNumbers"}},
	{"the times", []refusal{
		{"exp: expired at", []string{"expired", "exp zero"}}, {"nbf: not valid before", []string{"not yet valid"}}, {"iat: issued in the future", []string{"issued in the future"}},
	}, nil},
	{"duplicate members", []refusal{{twice, []string{"duplicate claim", "duplicate claim, escaped", "duplicate custom claim", "duplicate header member"}}}, nil},
	{"aud string, array, empty array, number, nested", []refusal{
		{"aud is [", []string{"other audience", "other audiences", "empty audience", "audience with slash", "audience with more", "audiences in a text", "no aud"}},
		{"aud is neither a string nor an array", []string{"aud number", "aud nested", "aud null", "aud object"}},
	}, nil},
	{"iss with trailing slash", []refusal{
		{"iss is \"", []string{"issuer with slash", "issuer with more", "other issuer"}}, {"iss is not a string", []string{"iss list"}}, {"iss is missing", []string{"no iss"}},
	}, nil},
	{"the other claims", []refusal{
		{"sub is missing or empty", []string{"no sub", "sub empty"}},
		{"client_id is missing or empty", []string{"no client_id", "client_id empty"}}, {"client_id is not a string", []string{"client_id list"}},
		{"jti is missing or empty", []string{"no jti", "jti empty"}}, {"jti is not a string", []string{"jti number"}},
		{"scope is not a string", []string{"scope list", "scope null"}},
	}, nil},
	{"the payload", []refusal{
		{noObject, []string{"claims in a list", "byte order mark", "no JSON"}},
		{"something follows the JSON object", []string{"trailing data"}}, {"not valid UTF-8", []string{"invalid UTF-8"}},
	}, nil},
	{"typ", []refusal{{"not at+jwt", []string{"wrong typ", "typ of a logout token", "typ of a client assertion", "typ of a DPoP proof", "no typ"}}}, nil},
	{"padding", []refusal{
		{"token header: " + illegalText, []string{"padded header"}}, {"token payload: " + illegalText, []string{"padded payload"}},
		{"token signature: " + illegalText, []string{"padded signature"}},
	}, nil},
	{"white space, newline in the signature", []refusal{
		{notOne, []string{"space in the signature"}}, {"token signature: " + illegalText, []string{"tab in the signature"}},
		{"line break", []string{"newline in the signature"}},
	}, nil}, // white space around it is not part of a header's value (RFC 9110, section 5.5)
	{"non-canonical trailing bits", []refusal{{"token signature: " + illegalText, []string{"trailing bits", "standard alphabet"}}}, nil},
	{"JSON serialisation", []refusal{{notOne, []string{"JSON serialisation"}}}, nil},
	{"(r, n-s): identity is (iss, jti)", []refusal{{"revoked", []string{"revoked", "revoked, another signature"}}}, nil},
	{"a megabyte of dots", []refusal{{", more than 16384", []string{"megabyte of dots", "too long"}}}, []string{"middleware TestForgedSize"}},
	{"depth and number", []refusal{{"more than 32 levels deep", []string{"header too deep", "claims too deep"}}, {"more than 16 members", []string{"header of many members"}}}, nil},
	{"JWE, nested JWT, p2c", []refusal{
		{shape, []string{"encrypted", "encrypted, p2c"}}, {noObject, []string{"nested token"}},
	}, nil},
	{"verdict cache with too narrow a key", nil, []string{"middleware TestTwoVerifiers", "middleware TestHitOfAnotherBearer"}},
	{"verdict survives key rotation", nil, []string{"issuer/issuertest TestRotate", "middleware TestHitAsksTheSource"}},
	{"optional auth", nil, []string{"middleware TestCredential"}},
	{"two tokens, the first valid one wins", []refusal{{notOne, []string{"two tokens"}}}, []string{"middleware TestCredential"}},
	{"bound token accepted as plain Bearer", []refusal{{"sender-constrained", []string{"bound to a key", "bound to a certificate"}}}, nil},
	{"expired and bad signature at once", []refusal{{noMatch, []string{"expired and forged"}}}, nil},
	{"key cache shared by two verifiers", nil, []string{"middleware TestTwoVerifiers"}},
	{"second issuer of a migration", []refusal{{unknownKey, []string{"of another issuer"}}}, []string{"issuer/issuertest TestTwoIssuers"}},
	{"names of members in another case", []refusal{{"exp is missing", []string{"exp in capitals"}}}, []string{"middleware TestClaimsThatDifferInCase", "middleware TestIntrospection"}},
	{"what programs send by mistake", []refusal{
		{shape, []string{"percent-encoded", "dot at the end", "opaque", "undefined"}},
		{"token header: " + illegalText, []string{"in quotes"}}, {notOne, []string{"Bearer twice"}},
	}, nil},
}

// causeOf returns what the guard's error says of a fault.
func causeOf(fault string) string {
	for _, trap := range traps {
		for _, r := range trap.refusals {
			if slices.Contains(r.faults, fault) {
				return r.says
			}
		}
	}
	return "a line in the table of traps"
}

// Each trap has faults, or tests elsewhere that exist. Each fault is in the table once.
func TestTraps(t *testing.T) {
	t.Parallel()
	listed := map[string]int{}
	for _, trap := range traps {
		if len(trap.refusals)+len(trap.elsewhere) == 0 {
			t.Errorf("%s: nothing", trap.line)
		}
		for _, r := range trap.refusals {
			if len(r.faults) == 0 || r.says == "" {
				t.Errorf("%s: %+v", trap.line, r)
			}
			for _, fault := range r.faults {
				listed[fault]++
			}
		}
		for _, test := range trap.elsewhere {
			room, name, _ := strings.Cut(test, " ")
			if !hasTest(t, room, name) {
				t.Errorf("%s: there is no %s", trap.line, test)
			}
		}
	}
	for _, fault := range Faults() {
		if listed[fault.Name] != 1 {
			t.Errorf("%s: %d times in the table", fault.Name, listed[fault.Name])
		}
		delete(listed, fault.Name)
	}
	if len(listed) > 0 {
		t.Errorf("there are no faults %q", slices.Sorted(maps.Keys(listed)))
	}
}

// hasTest reports whether a room has a test of that name.
func hasTest(t *testing.T, room, name string) bool {
	t.Helper()
	files, err := filepath.Glob("../../" + room + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "\nfunc "+name+"(t *testing.T) {") {
			return true
		}
	}
	return false
}
