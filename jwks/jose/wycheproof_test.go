package jose

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
)

// readVectors reads a file of Wycheproof's into v.
func readVectors(t *testing.T, file string, v any) {
	t.Helper()
	raw, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// jwsFile is a file of JWS vectors. Public and private are a JWK or a JWK set.
type jwsFile struct {
	TestGroups []struct {
		Comment         string
		Public, Private json.RawMessage
		Tests           []struct {
			TcID         int
			Comment      string
			JWS          json.RawMessage
			Result       string
			Flags        []string
			JWE, Payload json.RawMessage
		}
	}
}

// text is a vector's token. The JSON serialisation is an object.
func text(jws json.RawMessage) string {
	var token string
	if json.Unmarshal(jws, &token) == nil {
		return token
	}
	return string(jws)
}

// symmetric reports whether a token's header names an HMAC.
func symmetric(token string) bool {
	header, _ := base64.RawURLEncoding.DecodeString(token[:max(strings.IndexByte(token, '.'), 0)])
	return strings.Contains(string(header), `"alg":"HS`)
}

func TestWycheproofJWS(t *testing.T) {
	// The file calls these valid and they are refused, each for its reason.
	const wrongName = "the file's key names another algorithm than the token, or one that does not exist (ES521)"
	waived := map[int]string{
		346: wrongName, 347: wrongName, 350: wrongName, 351: wrongName,
	}
	var file jwsFile
	readVectors(t, "json_web_signature_test.json", &file)
	accepted, refused, hmac, empty, used := 0, 0, 0, 0, 0
	for _, group := range file.TestGroups {
		jwk := group.Public
		if jwk == nil {
			jwk = group.Private
		}
		key, _, keyErr := parseKey(string(jwk))
		oct := strings.Contains(string(jwk), `"oct"`)
		if oct && keyErr == nil {
			t.Fatalf("%s: a symmetric key was accepted", group.Comment)
		}
		for _, test := range group.Tests {
			token := text(test.JWS)
			err := keyErr
			if err == nil {
				_, err = accept(token, key)
			}
			if err == nil {
				accepted++
			} else {
				refused++
			}
			switch reason := waived[test.TcID]; {
			case reason != "":
				used++
				if err == nil || test.Result != "valid" {
					t.Errorf("tc%d needs no waiver: %s", test.TcID, reason)
				}
			case oct:
				hmac++ // tc367, 370, 372 and 373, invalid spellings called valid, are among them
				if parsed, err := Parse(token, 0); err == nil {
					t.Errorf("tc%d: a token with alg %q was parsed", test.TcID, parsed.Algorithm())
				}
			case strings.Contains(token, "..") && test.Result == "valid":
				empty++ // a payload is never empty here: a token holds claims
				if err == nil {
					t.Errorf("tc%d: an empty payload was accepted", test.TcID)
				}
			case (err == nil) != (test.Result == "valid"):
				t.Errorf("tc%d (%s, %s) is %s: %v", test.TcID, group.Comment, test.Comment, test.Result, err)
			}
		}
	}
	t.Logf("%d accepted, %d refused; of those %d HMAC, %d empty payloads, %d waived", accepted, refused, hmac, empty, used)
	if accepted+refused < 401 || accepted < 24 || refused < 350 || hmac < 40 || empty < 6 || used != len(waived) {
		t.Error("these are fewer than the file had")
	}
}

func TestWycheproofKeySets(t *testing.T) {
	// ROCA (CVE-2017-15361) is how some chips made keys; telling such keys by
	// their modulus is not asked for by any RFC, and their issuer chose them.
	waived := map[int]string{7: "ROCA"}
	var file jwsFile
	readVectors(t, "json_web_key_test.json", &file)
	accepted, refused, noKey := 0, 0, 0
	for _, group := range file.TestGroups {
		jwks := group.Public
		if jwks == nil {
			jwks = group.Private
		}
		set, err := ParseSet(jwks, nil)
		if err != nil {
			t.Errorf("%s: %v", group.Comment, err)
			continue
		}
		if set.Len() == 0 {
			noKey++
		}
		for _, test := range group.Tests {
			good := set.Len() > 0 && test.Result == "valid"
			// What is wrong is the key, or that there are symmetric ones, which
			// are not there for us.
			if set.Len() > 0 && test.Result == "invalid" && waived[test.TcID] == "" && !symmetric(text(test.JWS)) {
				t.Errorf("tc%d: %s: the key was accepted", test.TcID, test.Comment)
			}
			ok := false
			if parsed, err := Parse(text(test.JWS), 0); err == nil {
				_, err := parsed.Verify(set.Find(parsed.KeyID(), ""))
				ok = err == nil
			}
			if ok {
				accepted++
			} else {
				refused++
			}
			if ok != good && waived[test.TcID] == "" {
				t.Errorf("tc%d (%s): accepted is %t", test.TcID, test.Comment, ok)
			}
		}
	}
	t.Logf("%d accepted (%d waived), %d refused, %d sets without a usable key", accepted, len(waived), refused, noKey)
	if accepted+refused < 26 || accepted != 1+len(waived) || noKey < 22 {
		t.Error("these are not the file's numbers")
	}
}

func TestWycheproofCrypto(t *testing.T) {
	waived := map[int]string{46: "ROCA"}
	var file jwsFile
	readVectors(t, "json_web_crypto_test.json", &file)
	accepted, refused, jwe := 0, 0, 0
	for _, group := range file.TestGroups {
		jwk := group.Public
		if jwk == nil {
			jwk = group.Private
		}
		key, _, keyErr := parseKey(string(jwk))
		for _, test := range group.Tests {
			if test.JWE != nil {
				jwe++
				if _, err := Parse(text(test.JWE), 0); err == nil {
					t.Errorf("tc%d: a JWE was parsed", test.TcID)
				}
				continue
			}
			err := keyErr
			if err == nil {
				_, err = accept(text(test.JWS), key)
			}
			if err == nil {
				accepted++
			} else {
				refused++
			}
			good := test.Result == "valid" && !symmetric(text(test.JWS))
			if (err == nil) != good && waived[test.TcID] == "" {
				t.Errorf("tc%d (%s) is %s: %v", test.TcID, test.Comment, test.Result, err)
			}
		}
	}
	t.Logf("%d JWS accepted (%d waived), %d refused; %d JWE refused unread", accepted, len(waived), refused, jwe)
	if accepted != 2+len(waived) || accepted+refused < 49 || jwe < 34 {
		t.Error("these are not the file's numbers")
	}
}

// rawFile is a file of raw signatures.
type rawFile struct {
	TestGroups []struct {
		PublicKeyDer string
		SHA, MGFSHA  string
		SLen         int
		Tests        []struct {
			TcID    int
			Comment string
			Msg     string
			Sig     string
			Result  string
			Flags   []string
		}
	}
}

// signatureFiles are the files whose hash is an algorithm's here. Those of large RSA
// keys take long and run with the tag rehearsal.
var signatureFiles = map[string][]string{
	"ES256":   {"ecdsa_secp256r1_sha256_p1363_test.json"},
	"ES384":   {"ecdsa_secp384r1_sha384_p1363_test.json"},
	"ES512":   {"ecdsa_secp521r1_sha512_p1363_test.json"},
	"EdDSA":   {"ed25519_test.json"},
	"Ed25519": {"ed25519_test.json"},
	"RS256":   {"rsa_signature_2048_sha256_test.json", "rsa_signature_3072_sha256_test.json"},
	"RS384":   {"rsa_signature_2048_sha384_test.json", "rsa_signature_3072_sha384_test.json"},
	"RS512":   {"rsa_signature_2048_sha512_test.json", "rsa_signature_3072_sha512_test.json"},
	"PS256": {"rsa_pss_2048_sha256_mgf1_32_test.json", "rsa_pss_3072_sha256_mgf1_32_test.json", "rsa_pss_4096_sha256_mgf1_32_test.json",
		"rsa_pss_2048_sha256_mgf1_0_test.json", "rsa_pss_2048_sha256_mgf1sha1_20_test.json", "rsa_pss_misc_test.json"},
	"PS384": {"rsa_pss_2048_sha384_mgf1_48_test.json", "rsa_pss_4096_sha384_mgf1_48_test.json", "rsa_pss_misc_test.json"},
	"PS512": {"rsa_pss_4096_sha512_mgf1_64_test.json", "rsa_pss_4096_sha512_mgf1_32_test.json", "rsa_pss_misc_test.json"},
}

func TestWycheproofSignatures(t *testing.T) { verifyFiles(t, signatureFiles) }

// verifyFiles verifies every signature of the files, by algorithm.
func verifyFiles(t *testing.T, files map[string][]string) {
	t.Helper()
	for _, alg := range slices.Sorted(maps.Keys(files)) {
		a := algorithms[alg]
		if a == nil {
			t.Errorf("no algorithm %s", alg)
			continue
		}
		bits := strings.TrimLeft(alg, "ERPS")
		accepted, refused, saltOff := 0, 0, 0
		for _, name := range files[alg] {
			var file rawFile
			readVectors(t, name, &file)
			for _, group := range file.TestGroups {
				if a.kind == 'P' && group.SHA != "SHA-"+bits {
					continue // the misc file has all hashes
				}
				// Another salt length or mask hash than RFC 7518, section 3.5's is
				// refused, though Wycheproof verifies with it.
				otherPSS := a.kind == 'P' && (group.SLen != a.hash.Size() || group.MGFSHA != group.SHA)
				der, err := hex.DecodeString(group.PublicKeyDer)
				if err != nil {
					t.Fatal(err)
				}
				public, err := x509.ParsePKIXPublicKey(der)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				key, err := newKey(public, alg, "")
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for _, test := range group.Tests {
					msg, _ := hex.DecodeString(test.Msg)
					sig, _ := hex.DecodeString(test.Sig)
					err := key.alg.verify(key.public, msg, sig)
					if err == nil {
						accepted++
					} else {
						refused++
					}
					// "Acceptable" are RSA signatures without the NULL that
					// RFC 8017, section 9.2 has in its DigestInfo: refused.
					good := test.Result == "valid" && !otherPSS
					if test.Result == "valid" && otherPSS {
						saltOff++
					}
					if name == "rsa_pss_2048_sha256_mgf1_0_test.json" && test.Comment == "s_len changed to 32" {
						good = true // wrong for the file, whose salts are empty, and right for PS256
					}
					if (err == nil) != good {
						t.Errorf("%s tc%d (%s) is %s: %v", name, test.TcID, test.Comment, test.Result, err)
					}
				}
			}
		}
		t.Logf("%s: %d accepted, %d refused, of those %d good ones of another salt or mask", alg, accepted, refused, saltOff)
		if accepted < 14 || refused < 50 || (a.kind == 'P' && saltOff == 0) {
			t.Errorf("%s: these are fewer than the files had", alg)
		}
	}
}

// A key set keeps each public key of the raw files as it is.
func TestWycheproofKeysSurviveASet(t *testing.T) {
	if seen := keysSurviveASet(t, signatureFiles); seen < 88 {
		t.Errorf("only %d keys", seen)
	}
}

func keysSurviveASet(t *testing.T, files map[string][]string) (seen int) {
	t.Helper()
	for alg, names := range files {
		for _, name := range names {
			var file rawFile
			readVectors(t, name, &file)
			for _, group := range file.TestGroups {
				der, _ := hex.DecodeString(group.PublicKeyDer)
				public, err := x509.ParsePKIXPublicKey(der)
				if err != nil {
					t.Fatal(err)
				}
				key, err := newKey(public, alg, "")
				if err != nil {
					t.Fatal(err)
				}
				document := published(key)
				set, err := ParseSet(document, nil)
				if err != nil || !set.Find(key.id, alg).Equal(key) {
					t.Fatalf("%s: %s: %v", name, document, err)
				}
				seen++
			}
		}
	}
	return seen
}
