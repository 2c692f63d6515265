package pop

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

var testCertificate = sync.OnceValue(func() *x509.Certificate {
	key := testKeys()["ES256"]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app1"}, NotAfter: time.Unix(1<<33, 0)}
	return sure(x509.ParseCertificate(sure(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
})

func TestCertificateThumbprint(t *testing.T) {
	sum := sha256.Sum256(testCertificate().Raw)
	if got := CertificateThumbprint(testCertificate()); got != base64.RawURLEncoding.EncodeToString(sum[:]) || len(got) != 43 {
		t.Errorf("%q", got)
	}
	// The certificate and the thumbprint of RFC 8705, appendix A.
	const sample = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY="
	certificate, err := ParseClientCert([]string{":" + sample + ":"})
	if err != nil || CertificateThumbprint(certificate) != "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" {
		t.Errorf("%q, %v", CertificateThumbprint(certificate), err)
	}
	for _, none := range []*x509.Certificate{nil, {}} {
		if got := CertificateThumbprint(none); got != "" {
			t.Errorf("%q", got)
		}
	}
}

func TestParseClientCert(t *testing.T) {
	text := base64.StdEncoding.EncodeToString(testCertificate().Raw)
	for _, value := range []string{":" + text + ":", " :" + text + ":  "} {
		if got, err := ParseClientCert([]string{value}); err != nil || !got.Equal(testCertificate()) {
			t.Errorf("%.10q: %v", value, err)
		}
	}
	trailing := base64.StdEncoding.EncodeToString(append(bytes.Clone(testCertificate().Raw), 0))
	good := ":" + text + ":"
	for name, values := range map[string][]string{
		"none":                     nil,
		"two":                      {good, good},
		"an empty one first":       {"", good},
		"a list":                   {good + ", " + good},
		"a list without a space":   {good + "," + good},
		"two without a comma":      {good + good},
		"empty":                    {""},
		"a colon":                  {":"},
		"no bytes":                 {"::"},
		"no colons":                {text},
		"no colon before":          {text + ":"},
		"no colon after":           {":" + text},
		"parameters":               {good + ";a=1"},
		"a string":                 {`"` + text + `"`},
		"base64url":                {":" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 30)) + ":"},
		"a space inside":           {":" + text[:8] + " " + text[8:] + ":"},
		"a tab around it":          {"\t" + good},
		"a line break inside":      {":" + text[:8] + "\n" + text[8:] + ":"},
		"PEM":                      {"-----BEGIN CERTIFICATE-----" + text + "-----END CERTIFICATE-----"},
		"escaped PEM, as of nginx": {"-----BEGIN%20CERTIFICATE-----%0A" + text},
		"bytes after it":           {":" + trailing + ":"},
		"cut short":                {":" + text[:len(text)-8] + ":"},
		"not a certificate":        {":AAAA:"},
		"a megabyte":               {":" + strings.Repeat("A", 1<<20) + ":"},
	} {
		if got, err := ParseClientCert(values); got != nil || err == nil || !strings.HasPrefix(err.Error(), "pop: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzClientCert: what is accepted is the one spelling of a certificate.
func FuzzClientCert(f *testing.F) {
	seeded(f, "FuzzClientCert")
	f.Add(":" + base64.StdEncoding.EncodeToString(testCertificate().Raw) + ":")
	f.Add(":AAAA:;a=b")
	f.Fuzz(func(t *testing.T, value string) {
		got, err := ParseClientCert([]string{value})
		if (got == nil) == (err == nil) {
			t.Fatalf("%v, %v", got, err)
		}
		if err != nil {
			return
		}
		if again := ":" + base64.StdEncoding.EncodeToString(got.Raw) + ":"; again != strings.Trim(value, " ") {
			t.Errorf("%q is accepted for %q", value, again)
		}
		if len(CertificateThumbprint(got)) != 43 {
			t.Error("it has no thumbprint")
		}
	})
}
