package wycheproof

import (
	"crypto/x509"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/jose"
)

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

// signatureFiles are the files for each algorithm. Those of large RSA keys take long
// and run with the tag rehearsal.
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

// derKey makes a key of the DER of a vector, in hex.
func derKey(t *testing.T, der, alg string) *jose.Key {
	t.Helper()
	raw, err := hex.DecodeString(der)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewKey(public, alg, "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestWycheproofSignatures(t *testing.T) { verifyFiles(t, signatureFiles) }

// verifyFiles verifies every signature of the files of each algorithm.
func verifyFiles(t *testing.T, files map[string][]string) {
	t.Helper()
	for _, alg := range slices.Sorted(maps.Keys(files)) {
		pss, bits := strings.HasPrefix(alg, "PS"), strings.TrimLeft(alg, "ERPS")
		accepted, refused, otherSalt := 0, 0, 0
		for _, name := range files[alg] {
			var file rawFile
			readVectors(t, name, &file)
			for _, group := range file.TestGroups {
				if pss && group.SHA != "SHA-"+bits {
					continue // the misc file has all hashes
				}
				// RFC 7518, section 3.5, allows one length of the salt and one hash of
				// the mask. Wycheproof has valid signatures with others, which are refused.
				otherPSS := pss && (strconv.Itoa(8*group.SLen) != bits || group.MGFSHA != group.SHA)
				key := derKey(t, group.PublicKeyDer, alg)
				for _, test := range group.Tests {
					msg, _ := hex.DecodeString(test.Msg)
					sig, _ := hex.DecodeString(test.Sig)
					err := key.Verify(msg, sig)
					if err == nil {
						accepted++
					} else {
						refused++
					}
					// Wycheproof calls RSA signatures "acceptable" that lack the NULL of
					// DigestInfo (RFC 8017, section 9.2). They are refused.
					valid := test.Result == "valid" && !otherPSS
					if test.Result == "valid" && otherPSS {
						otherSalt++
					}
					if name == "rsa_pss_2048_sha256_mgf1_0_test.json" && test.Comment == "s_len changed to 32" {
						valid = true // for PS256, though not for the file, whose salts are empty
					}
					if (err == nil) != valid {
						t.Errorf("%s tc%d (%s) is %s: %v", name, test.TcID, test.Comment, test.Result, err)
					}
				}
			}
		}
		t.Logf("%s: %d accepted, %d refused, of those %d valid with another salt or mask", alg, accepted, refused, otherSalt)
		if accepted < 14 || refused < 50 || (pss && otherSalt == 0) {
			t.Errorf("%s: these are fewer than the files have", alg)
		}
	}
}

// TestWycheproofKeysSurviveASet writes each public key of the files as a key set, and
// reads the same key from it.
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
				key := derKey(t, group.PublicKeyDer, alg)
				set, err := jose.NewSet(key)
				if err != nil {
					t.Fatal(err)
				}
				document, err := set.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				read, err := jose.ParseSet(document, nil)
				if err != nil || !read.Find(key.ID(), alg).Equal(key) {
					t.Fatalf("%s: %s: %v", name, document, err)
				}
				seen++
			}
		}
	}
	return seen
}
