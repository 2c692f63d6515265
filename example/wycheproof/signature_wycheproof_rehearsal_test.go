//go:build rehearsal

package wycheproof

import "testing"

// largeRSAFiles are the signatures of RSA keys that take long to verify.
var largeRSAFiles = map[string][]string{
	"RS256": {"rsa_signature_4096_sha256_test.json", "rsa_signature_8192_sha256_test.json"},
	"RS384": {"rsa_signature_4096_sha384_test.json", "rsa_signature_8192_sha384_test.json"},
	"RS512": {"rsa_signature_4096_sha512_test.json", "rsa_signature_8192_sha512_test.json"},
}

func TestWycheproofLargeRSA(t *testing.T) {
	verifyFiles(t, largeRSAFiles)
	if seen := keysSurviveASet(t, largeRSAFiles); seen < 6 {
		t.Errorf("only %d keys", seen)
	}
}
