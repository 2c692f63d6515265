package pop_test

import (
	"fmt"

	"github.com/echo-m2m/m2m/jwks/pop"
)

// A proxy that ends TLS passes on the certificate of its client. The token is bound to
// its thumbprint: {"cnf":{"x5t#S256":"A4Dt…"}}.
func ExampleParseClientCert() {
	// r.Header.Values("Client-Cert"), if the connection comes from a proxy you trust.
	values := []string{":MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoX" +
		"DTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C" +
		"7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD" +
		"/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=:"}

	certificate, err := pop.ParseClientCert(values)
	fmt.Println(pop.CertificateThumbprint(certificate), err)

	_, err = pop.ParseClientCert([]string{"", values[0]})
	fmt.Println(err)
	// Output:
	// A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0 <nil>
	// pop: 2 Client-Cert headers, not one
}
