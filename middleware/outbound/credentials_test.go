package outbound

import (
	"context"
	"strings"
	"testing"
)

// New refuses the arguments of a SecretFunc that cannot be right, and calls no func of the
// app for that.
func TestNewRefusesSecrets(t *testing.T) {
	for name, test := range map[string]struct {
		secret SecretFunc
		say    string
	}{
		"empty":            {Secret(""), "the secret is empty"},
		"two lines":        {Secret("one\ntwo"), "a character that no secret has, such as a line break"},
		"a line break":     {Secret("one\n"), "a character that no secret has, such as a line break"},
		"not ASCII":        {Secret("\u00e9"), "only printable ASCII is sent (RFC 6749, appendix A.2)"},
		"no path":          {SecretFile(""), "the path for SecretFile is empty"},
		"no variable":      {SecretEnv(""), "the name for SecretEnv is empty"},
		"good":             {Secret("a b~"), ""},
		"a file to come":   {SecretFile("/nowhere/secret"), ""},
		"an env to come":   {SecretEnv("OUTBOUND_TEST_NOTHING"), ""},
		"a func of an app": {func(context.Context) (string, error) { t.Error("it is called"); return "", nil }, ""},
	} {
		s, err := New(Config{TokenURL: testTokenURL, ClientID: "client", Secret: test.secret})
		switch {
		case test.say == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.say != "" && (s != nil || err == nil || !strings.HasPrefix(err.Error(), "outbound: Config.Secret: ") || !strings.Contains(err.Error(), test.say)):
			t.Errorf("%s: %v, want %s", name, err, test.say)
		}
		if test.say != "" {
			if secret, err := test.secret(t.Context()); secret != "" || err == nil {
				t.Errorf("%s: %q, %v", name, secret, err)
			}
		}
	}
}

// New refuses empty paths of other credentials as well.
func TestNewRefusesEmptyPaths(t *testing.T) {
	for _, test := range []struct {
		wrong Config
		say   string
	}{
		{Config{Assertion: WorkloadToken("")}, "outbound: Config.Assertion: the path for WorkloadToken is empty"},
		{Config{Certificate: CertificateFiles("", "")}, "outbound: Config.Certificate: a path for CertificateFiles is empty"},
		{Config{Certificate: CertificateFiles("a.pem", "")}, "outbound: Config.Certificate: a path for CertificateFiles is empty"},
		{Config{Certificate: CertificateFiles("", "key.pem")}, "outbound: Config.Certificate: a path for CertificateFiles is empty"},
	} {
		test.wrong.TokenURL, test.wrong.ClientID = testTokenURL, "client"
		if s, err := New(test.wrong); s != nil || err == nil || err.Error() != test.say {
			t.Errorf("%v, want %s", err, test.say)
		}
	}
	c := Config{TokenURL: testTokenURL, ClientID: "client", Certificate: CertificateFiles("a.pem", "key.pem")}
	if _, err := New(c); err != nil {
		t.Errorf("files to come: %v", err)
	}
}
