package wycheproof

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// readVectors reads a file of test vectors into v.
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

// jwsFile is a file of JWS vectors. Public and Private are a JWK or a JWK set.
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

// readKey reads one JWK as the only entry of a key set.
func readKey(jwk json.RawMessage) (*jose.Key, error) {
	set, err := jose.ParseSet(slices.Concat([]byte(`{"keys":[`), jwk, []byte(`]}`)), nil)
	switch {
	case err != nil:
		return nil, err
	case set.Len() == 1:
		return set.Keys()[0], nil
	case len(set.Skipped()) == 1:
		return nil, set.Skipped()[0].Err
	}
	return nil, errors.New("the group has no key")
}

// accept parses and verifies a token.
func accept(token string, key *jose.Key) error {
	parsed, err := jose.Parse(token, 0)
	if err == nil {
		_, err = parsed.Verify(key)
	}
	return err
}

func TestWycheproofJWS(t *testing.T) {
	// The file calls these valid, but they are refused.
	const wrongName = "the key names another algorithm than the token, or one that does not exist (ES521)"
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
		key, keyErr := readKey(jwk)
		symmetricKey := strings.Contains(string(jwk), `"oct"`)
		if symmetricKey && keyErr == nil {
			t.Fatalf("%s: a symmetric key was accepted", group.Comment)
		}
		for _, test := range group.Tests {
			token := text(test.JWS)
			err := keyErr
			if err == nil {
				err = accept(token, key)
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
			case symmetricKey:
				hmac++ // among them tc367, 370, 372 and 373, whose invalid spellings the file calls valid
				if parsed, err := jose.Parse(token, 0); err == nil {
					t.Errorf("tc%d: a token with alg %q was parsed", test.TcID, parsed.Algorithm())
				}
			case strings.Contains(token, "..") && test.Result == "valid":
				empty++ // a token holds claims, so its payload is never empty
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
		t.Error("these are fewer than the file has")
	}
}

func TestWycheproofKeySets(t *testing.T) {
	// ROCA (CVE-2017-15361) is a weakness of keys that some chips made. No RFC asks
	// a verifier to find such keys by their modulus.
	waived := map[int]string{7: "ROCA"}
	var file jwsFile
	readVectors(t, "json_web_key_test.json", &file)
	accepted, refused, noKey := 0, 0, 0
	for _, group := range file.TestGroups {
		jwks := group.Public
		if jwks == nil {
			jwks = group.Private
		}
		set, err := jose.ParseSet(jwks, nil)
		if err != nil {
			t.Errorf("%s: %v", group.Comment, err)
			continue
		}
		if set.Len() == 0 {
			noKey++
		}
		for _, test := range group.Tests {
			valid := set.Len() > 0 && test.Result == "valid"
			// An invalid vector has an invalid key, or else a symmetric one beside a
			// valid one. Symmetric keys are skipped.
			if set.Len() > 0 && test.Result == "invalid" && waived[test.TcID] == "" && !symmetric(text(test.JWS)) {
				t.Errorf("tc%d: %s: the key was accepted", test.TcID, test.Comment)
			}
			ok := false
			if parsed, err := jose.Parse(text(test.JWS), 0); err == nil {
				_, err := parsed.Verify(set.Find(parsed.KeyID(), ""))
				ok = err == nil
			}
			if ok {
				accepted++
			} else {
				refused++
			}
			if ok != valid && waived[test.TcID] == "" {
				t.Errorf("tc%d (%s): accepted is %t", test.TcID, test.Comment, ok)
			}
		}
	}
	t.Logf("%d accepted (%d waived), %d refused, %d sets without a usable key", accepted, len(waived), refused, noKey)
	if accepted+refused < 26 || accepted != 1+len(waived) || noKey < 22 {
		t.Error("these are not the numbers of the file")
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
		key, keyErr := readKey(jwk)
		for _, test := range group.Tests {
			if test.JWE != nil {
				jwe++
				if _, err := jose.Parse(text(test.JWE), 0); err == nil {
					t.Errorf("tc%d: a JWE was parsed", test.TcID)
				}
				continue
			}
			err := keyErr
			if err == nil {
				err = accept(text(test.JWS), key)
			}
			if err == nil {
				accepted++
			} else {
				refused++
			}
			valid := test.Result == "valid" && !symmetric(text(test.JWS))
			if (err == nil) != valid && waived[test.TcID] == "" {
				t.Errorf("tc%d (%s) is %s: %v", test.TcID, test.Comment, test.Result, err)
			}
		}
	}
	t.Logf("%d JWS accepted (%d waived), %d refused; %d JWE refused unread", accepted, len(waived), refused, jwe)
	if accepted != 2+len(waived) || accepted+refused < 49 || jwe < 34 {
		t.Error("these are not the numbers of the file")
	}
}
