package main

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// The comparison is fair only if every contestant does the work: it lets the valid
// token in, and refuses each of the others for its one fault.
func TestGuards(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			w := must(newWorld(alg))
			defer w.Close()
			server := publish(w)
			defer server.Close()
			now := time.Now()
			token := func(change func(*claims)) string {
				c := claimsFor(1, fewClients, now)
				change(&c)
				return bearerIs + must(w.token(c))
			}
			good := token(func(*claims) {})
			bad := map[string]string{
				"wrong signature": wrongSignature(good),
				"unknown key":     unknownKey(alg, good, "nobody"),
				"other payload":   otherPayload(good),
				"junk":            junk["8 kB of dots"],
				"nothing":         "",
			}
			claimsToo := map[string]string{
				"expired":        token(func(c *claims) { c.Expiry = now.Add(-time.Hour).Unix() }),
				"other issuer":   token(func(c *claims) { c.Issuer += "/" }),
				"other audience": token(func(c *claims) { c.Audience = "https://other.example.com" }),
			}
			for _, g := range must(allGuards(ctx, w, server.URL)) {
				if g.why != "" {
					t.Errorf("%s takes no part: %s", g.name, g.why)
				}
				if g.name == noAuth {
					continue
				}
				c := must(newCaller(newRoute(g.middleware)))
				for range 3 { // from the second or third time it may come from a cache
					if got := c.send(good); got != 200 {
						t.Errorf("%s: status %d for a good token", g.name, got)
					}
				}
				for name, credential := range bad {
					if name == "unknown key" && (g.name == floor || g.name == lean || g.name == cached) {
						continue // they have one key and look for no other
					}
					if got := c.send(credential); got != 401 && (name != "nothing" || got != 400) {
						t.Errorf("%s: status %d for %s", g.name, got, name)
					}
				}
				if g.name == floor {
					continue
				}
				for name, credential := range claimsToo {
					if got := c.send(credential); got != 401 {
						t.Errorf("%s: status %d for %s", g.name, got, name)
					}
				}
			}
		})
	}
}

// otherPayload puts an attacker's claims under a valid signature.
func otherPayload(credential string) string {
	parts := strings.Split(credential, ".")
	payload := must(base64.RawURLEncoding.DecodeString(parts[1]))
	changed := strings.Replace(string(payload), "client-1", "client-2", 1)
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(changed)) + "." + parts[2]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
