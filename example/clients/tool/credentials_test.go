package tool

import (
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const (
	privateSet = `{"keys":[{"kty":"EC","crv":"P-256","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps","d":"hush"}]}`
	weakSet    = `{"keys":[{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"}]}`
)

// TestAddWithoutSecret adds clients that authenticate with something else: add, apply and
// import give them no secret, and ask for no file of secrets.
func TestAddWithoutSecret(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		b := newBench(t)
		keys := b.file("keys.json", "\ufeff"+keySet+"\n")
		for id, args := range map[string][]string{
			"keys": {"-jwks", keys}, "url": {"-jwks-uri", "https://a.example"}, "certificate": {"-tls-subject-dn", "CN=a", "-auth-method", registry.TLSClientAuth},
			"workload": {"-workload", "https://a.example system:serviceaccount:a:default b", "-workload", "https://a.example c* d", "-insecure-shared-subject"},
		} {
			if out := b.do(append([]string{"add", id, "-audience", apiURL}, args...)...); !strings.Contains(out, "it has no secret") || strings.Contains(out, "m2m_") {
				t.Error(out)
			}
			if c := b.client(id); len(c.Secrets) != 0 || c.UsesSecret() {
				t.Errorf("%+v", c)
			}
		}
		if c := b.client("workload"); len(c.Workloads) != 2 || !c.Workloads[0].InsecureSharedSubject || c.Workloads[1].Subject != "c*" {
			t.Errorf("%+v", c.Workloads)
		}
		if out := b.do("add", "both", "-audience", apiURL, "-jwks", keys, "-auth-method", registry.ClientSecretBasic); len(b.client("both").Secrets) != 1 || !strings.HasPrefix(last(out), "m2m_") {
			t.Error(out)
		}
		b.do("apply", b.file("f.json", `[{"client_id":"applied","audiences":["`+apiURL+`"],"jwks":`+keySet+`}]`))
		b.do("import", b.file("f.csv", "client_id,audiences,workload\nimported,"+apiURL+`,"[{""issuer"":""https://a.example"",""subject"":""b"",""audience"":""c""}]"`+"\n"))
		for _, id := range []string{"applied", "imported"} {
			if c := b.client(id); len(c.Secrets) != 0 {
				t.Errorf("%+v", c)
			}
		}
		b.refused("-secrets FILE", "apply", b.file("g.json", `[{"client_id":"g","audiences":["`+apiURL+`"],"jwks":`+keySet+`,"token_endpoint_auth_method":"client_secret_post"}]`))
	})
}

// TestCredentialsRefused refuses keys and workloads that could not be used, in every way
// into the storage, and prints no private key.
func TestCredentialsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}})
	entry := func(workload string) string {
		return `[{"client_id":"a","audiences":["` + apiURL + `"],"workload":` + workload + `}]`
	}
	for content, says := range map[string]string{
		privateSet: "private", weakSet: `weak`, `{"kty":"EC","d":"hush"}`: "keys", "x": "JSON", "": "empty", `{"keys":[]}`: "has no key", `{"keys":[{}],"keys":[{}]}`: "keys",
	} {
		path := b.file("keys", content)
		b.refused(says, "set", "a", "-jwks", path)
		b.refused(says, "add", "b", "-audience", apiURL, "-jwks", path)
		if content == "" || content == "x" {
			continue
		}
		b.refused("jwks: ", "plan", b.file("f.json", `[{"client_id":"a","jwks":`+content+`}]`))
		b.refused("jwks: ", "import", b.file("f.csv", "client_id,jwks\nb,\""+strings.ReplaceAll(content, `"`, `""`)+"\"\n"))
		_, out, errs := b.run("import", b.file("f.csv", "client_id,jwks\nb,\""+strings.ReplaceAll(content, `"`, `""`)+"\"\n"))
		if strings.Contains(out+errs, "hush") {
			t.Errorf("a private key is printed: %s %s", out, errs)
		}
	}
	for doc, says := range map[string]string{
		`[{"issuer":"https://a.example","subject":"a*","audience":"b"}]`:             "workload[0].subject: \"a*\" is the subject of several programs: write one without *, or set insecure_shared_subject",
		`[{"issuer":"https://a.example","subject":"a","subject":"c","audience":""}]`: "workload: ",
		`[{"issuer":"https://a.example","Subject":"a","audience":"b"}]`:              `workload: unknown member "Subject"`,
		`{"issuer":"https://a.example"}`:                                             "workload: write an array",
		`[{"issuer":1,"subject":"a","audience":"b"}]`:                                "workload: write objects such as",
		`[null]`: "workload: ",
	} {
		b.refused(says, "plan", b.file("f.json", entry(doc)))
	}
	b.refused("ISSUER SUBJECT AUDIENCE", "set", "a", "-workload", "https://a.example b")
	b.refused("several programs", "set", "a", "-workload", "https://a.example b* c")
	b.refused("name a field", "set", "a", "-insecure-shared-subject")
	b.refused("Client.AuthMethod", "set", "a", "-auth-method", registry.PrivateKeyJWT)
	b.do("set", "a", "-jwks", b.file("keys", keySet), "-auth-method", registry.PrivateKeyJWT)
	b.refused("Client.AuthMethod", "set", "a", "-clear", "jwks")
	b.refused("Client.JWKSURI", "set", "a", "-jwks-uri", "https://a.example")
	b.do("set", "a", "-jwks-uri", "https://a.example", "-clear", "jwks")
}

// TestKeysInAnotherSpelling takes two texts of one key set, and workloads in another order,
// for the same.
func TestKeysInAnotherSpelling(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, newBench func(*testing.T, ...registry.Client) *bench) {
		w := []registry.Workload{{Issuer: "https://a.example", Subject: "a", Audience: "b"}, {Issuer: "https://a.example", Subject: "b", Audience: "b"}}
		b := newBench(t, registry.Client{ID: "a", Audiences: []string{apiURL}, JWKS: []byte(keySet), Workloads: w})
		other := strings.ReplaceAll(strings.ReplaceAll(keySet, "<", `\u003c`), ",", "\n,\t")
		text := `[{"client_id":"a","audiences":["` + apiURL + `"],"jwks":` + other + `,"workload":[{"issuer":"https://a.example","audience":"b","subject":"b"},{"subject":"a","issuer":"https://a.example","audience":"b"}]}]`
		b.do("plan", b.file("f.json", text))
		if out := b.do("set", "a", "-jwks", b.file("keys", other)); !strings.Contains(out, "has these values already") {
			t.Error(out)
		}
		if out := b.do("show", "a"); !strings.Contains(out, `"kid":"<1>"`) || !strings.Contains(out, "nothing") {
			t.Error(out)
		}
	})
}
