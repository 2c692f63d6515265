package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// publicSet is a JWK set of one public key.
const publicSet = `{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}]}`

func TestValidateCredentials(t *testing.T) {
	keys := json.RawMessage(publicSet)
	padded := func(size int) json.RawMessage {
		return json.RawMessage(publicSet[:1] + strings.Repeat(" ", size-len(publicSet)) + publicSet[1:])
	}
	workload := func(change func(*Workload)) Client {
		w := Workload{Issuer: "https://ci.example", Subject: "repo:acme/app:ref:refs/heads/main", Audience: "https://issuer.example"}
		change(&w)
		return Client{Workloads: []Workload{w}}
	}
	many := make([]Workload, 33)
	for n := range many {
		many[n] = Workload{Issuer: "https://ci.example", Subject: fmt.Sprint("s", n), Audience: "a"}
	}
	for name, tt := range map[string]struct {
		client Client
		field  string // "" if valid
	}{
		"keys":                              {Client{JWKS: keys}, ""},
		"keys, private_key_jwt":             {Client{JWKS: keys, AuthMethod: PrivateKeyJWT}, ""},
		"keys, self signed":                 {Client{JWKS: keys, AuthMethod: SelfSignedTLSClientAuth}, ""},
		"keys, secret":                      {Client{JWKS: keys, AuthMethod: ClientSecretBasic}, ""},
		"keys with white space":             {Client{JWKS: json.RawMessage(" \n" + publicSet + "\n")}, ""},
		"keys and other members":            {Client{JWKS: json.RawMessage(`{"x":1,"keys":[{}],"y":[]}`)}, ""},
		"keys at the bound":                 {Client{JWKS: padded(32 << 10)}, ""},
		"keys over the bound":               {Client{JWKS: padded(32<<10 + 1)}, "Client.JWKS"},
		"keys and URL":                      {Client{JWKS: keys, JWKSURI: "https://a.example"}, "Client.JWKSURI"},
		"null for keys":                     {Client{JWKS: json.RawMessage("null")}, "Client.JWKS"},
		"text for keys":                     {Client{JWKS: json.RawMessage(`"x"`)}, "Client.JWKS"},
		"list for keys":                     {Client{JWKS: json.RawMessage(`[{}]`)}, "Client.JWKS"},
		"one key for keys":                  {Client{JWKS: json.RawMessage(`{"kty":"EC"}`)}, "Client.JWKS"},
		"no keys":                           {Client{JWKS: json.RawMessage(`{"keys":[]}`)}, "Client.JWKS"},
		"null keys":                         {Client{JWKS: json.RawMessage(`{"keys":null}`)}, "Client.JWKS"},
		"a null key":                        {Client{JWKS: json.RawMessage(`{"keys":[null]}`)}, "Client.JWKS"},
		"a number as key":                   {Client{JWKS: json.RawMessage(`{"keys":[1]}`)}, "Client.JWKS"},
		"keys in another case":              {Client{JWKS: json.RawMessage(`{"Keys":[{}]}`)}, "Client.JWKS"},
		"keys twice":                        {Client{JWKS: json.RawMessage(`{"keys":[{"d":"x"}],"keys":[{}]}`)}, "Client.JWKS"},
		"keys twice, escaped":               {Client{JWKS: json.RawMessage(`{"keys":[{"d":"x"}],"key\u0073":[{}]}`)}, "Client.JWKS"},
		"keys cut off":                      {Client{JWKS: keys[:len(keys)-1]}, "Client.JWKS"},
		"keys and more":                     {Client{JWKS: json.RawMessage(publicSet + "{}")}, "Client.JWKS"},
		"keys behind a byte order mark":     {Client{JWKS: json.RawMessage("\ufeff" + publicSet)}, "Client.JWKS"},
		"keys not UTF-8":                    {Client{JWKS: json.RawMessage(`{"keys":[{"kid":"` + "\xff" + `"}]}`)}, "Client.JWKS"},
		"private key":                       {Client{JWKS: json.RawMessage(`{"keys":[{"kty":"EC"},{"kty":"EC","d":"x"}]}`)}, "Client.JWKS"},
		"private key, escaped":              {Client{JWKS: json.RawMessage(`{"keys":[{"kty":"RSA","\u0070":"x"}]}`)}, "Client.JWKS"},
		"symmetric key":                     {Client{JWKS: json.RawMessage(`{"keys":[{"kty":"oct","k":"x"}]}`)}, "Client.JWKS"},
		"URL":                               {Client{JWKSURI: "https://a.example/jwks?x=1"}, ""},
		"URL, private_key_jwt":              {Client{JWKSURI: "https://a.example", AuthMethod: PrivateKeyJWT}, ""},
		"URL, self signed":                  {Client{JWKSURI: "https://a.example", AuthMethod: SelfSignedTLSClientAuth}, ""},
		"URL, http on the loopback":         {Client{JWKSURI: "http://127.0.0.1:8080/jwks"}, ""},
		"URL, http on localhost":            {Client{JWKSURI: "http://localhost/jwks"}, ""},
		"URL, http on IPv6's loopback":      {Client{JWKSURI: "http://[::1]:8080/jwks"}, ""},
		"URL, http":                         {Client{JWKSURI: "http://a.example"}, "Client.JWKSURI"},
		"URL, http on a name like it":       {Client{JWKSURI: "http://localhost.a.example"}, "Client.JWKSURI"},
		"URL with a scheme in capitals":     {Client{JWKSURI: "HTTPS://a.example"}, "Client.JWKSURI"},
		"URL, file":                         {Client{JWKSURI: "file:///etc/passwd"}, "Client.JWKSURI"},
		"URL, relative":                     {Client{JWKSURI: "/jwks"}, "Client.JWKSURI"},
		"URL without a host":                {Client{JWKSURI: "https:///jwks"}, "Client.JWKSURI"},
		"URL without slashes":               {Client{JWKSURI: "https:a.example"}, "Client.JWKSURI"},
		"URL with a user":                   {Client{JWKSURI: "https://u:p@a.example"}, "Client.JWKSURI"},
		"URL with a fragment":               {Client{JWKSURI: "https://a.example#"}, "Client.JWKSURI"},
		"URL with a space":                  {Client{JWKSURI: "https://a.example/a b"}, "Client.JWKSURI"},
		"URL with NUL":                      {Client{JWKSURI: "https://a.example/\x00"}, "Client.JWKSURI"},
		"long URL":                          {Client{JWKSURI: "https://a.example/" + strings.Repeat("x", 1024)}, "Client.JWKSURI"},
		"subject":                           {Client{TLSClientAuthSubjectDN: "CN=Größe\\, 1,O=Example"}, ""},
		"subject, tls_client_auth":          {Client{TLSClientAuthSubjectDN: "CN=a", AuthMethod: TLSClientAuth}, ""},
		"subject without an attribute":      {Client{TLSClientAuthSubjectDN: "billing"}, "Client.TLSClientAuthSubjectDN"},
		"subject with NUL":                  {Client{TLSClientAuthSubjectDN: "CN=a\x00"}, "Client.TLSClientAuthSubjectDN"},
		"subject with a line end":           {Client{TLSClientAuthSubjectDN: "CN=a\n"}, "Client.TLSClientAuthSubjectDN"},
		"subject not UTF-8":                 {Client{TLSClientAuthSubjectDN: "CN=\xff"}, "Client.TLSClientAuthSubjectDN"},
		"long subject":                      {Client{TLSClientAuthSubjectDN: "CN=" + strings.Repeat("x", 1024)}, "Client.TLSClientAuthSubjectDN"},
		"host name":                         {Client{TLSClientAuthSANDNS: "a-1.Example", AuthMethod: TLSClientAuth}, ""},
		"host name with a wildcard":         {Client{TLSClientAuthSANDNS: "*.a.example"}, "Client.TLSClientAuthSANDNS"},
		"host name with a dot at the end":   {Client{TLSClientAuthSANDNS: "a.example."}, "Client.TLSClientAuthSANDNS"},
		"host name not ASCII":               {Client{TLSClientAuthSANDNS: "ä.example"}, "Client.TLSClientAuthSANDNS"},
		"long host name":                    {Client{TLSClientAuthSANDNS: strings.Repeat("a.", 127)}, "Client.TLSClientAuthSANDNS"},
		"long label":                        {Client{TLSClientAuthSANDNS: strings.Repeat("a", 64)}, "Client.TLSClientAuthSANDNS"},
		"URI":                               {Client{TLSClientAuthSANURI: "spiffe://a.example/b", AuthMethod: TLSClientAuth}, ""},
		"URI, relative":                     {Client{TLSClientAuthSANURI: "a.example/b"}, "Client.TLSClientAuthSANURI"},
		"URI not ASCII":                     {Client{TLSClientAuthSANURI: "urn:ä"}, "Client.TLSClientAuthSANURI"},
		"URI with a space":                  {Client{TLSClientAuthSANURI: "urn:a b"}, "Client.TLSClientAuthSANURI"},
		"IPv4":                              {Client{TLSClientAuthSANIP: "192.0.2.1", AuthMethod: TLSClientAuth}, ""},
		"IPv6":                              {Client{TLSClientAuthSANIP: "2001:db8::1"}, ""},
		"IPv6, not canonical":               {Client{TLSClientAuthSANIP: "2001:DB8:0::1"}, "Client.TLSClientAuthSANIP"},
		"IPv6 with a zone":                  {Client{TLSClientAuthSANIP: "fe80::1%eth0"}, "Client.TLSClientAuthSANIP"},
		"IPv4 in IPv6":                      {Client{TLSClientAuthSANIP: "::ffff:192.0.2.1"}, "Client.TLSClientAuthSANIP"},
		"IPv4 with zeros":                   {Client{TLSClientAuthSANIP: "192.0.2.01"}, "Client.TLSClientAuthSANIP"},
		"address and port":                  {Client{TLSClientAuthSANIP: "192.0.2.1:443"}, "Client.TLSClientAuthSANIP"},
		"network":                           {Client{TLSClientAuthSANIP: "192.0.2.0/24"}, "Client.TLSClientAuthSANIP"},
		"email":                             {Client{TLSClientAuthSANEmail: "a.b+c@a.example", AuthMethod: TLSClientAuth}, ""},
		"email without a domain":            {Client{TLSClientAuthSANEmail: "a@"}, "Client.TLSClientAuthSANEmail"},
		"email without a name":              {Client{TLSClientAuthSANEmail: "@a.example"}, "Client.TLSClientAuthSANEmail"},
		"email with two signs":              {Client{TLSClientAuthSANEmail: "a@b@a.example"}, "Client.TLSClientAuthSANEmail"},
		"two subjects":                      {Client{TLSClientAuthSubjectDN: "CN=a", TLSClientAuthSANIP: "192.0.2.1"}, "Client.TLSClientAuthSANIP"},
		"all subjects":                      {Client{TLSClientAuthSANDNS: "a", TLSClientAuthSANURI: "urn:a", TLSClientAuthSANIP: "192.0.2.1", TLSClientAuthSANEmail: "a@b"}, "Client.TLSClientAuthSANURI"},
		"workload":                          {workload(func(*Workload) {}), ""},
		"workload, private_key_jwt":         {Client{AuthMethod: PrivateKeyJWT, Workloads: many[:32]}, ""},
		"workload of Kubernetes":            {workload(func(w *Workload) { w.Subject = "system:serviceaccount:default:billing" }), ""},
		"workload of a trust domain":        {workload(func(w *Workload) { w.Issuer, w.Subject = "spiffe://a.example", "spiffe://a.example/ns/b/sa/c" }), ""},
		"workload with a space":             {workload(func(w *Workload) { w.Subject = "repo:acme/app:environment:Production EU" }), ""},
		"shared subject":                    {workload(func(w *Workload) { w.Subject, w.InsecureSharedSubject = "repo:acme/*", true }), ""},
		"shared account":                    {workload(func(w *Workload) { w.Subject, w.InsecureSharedSubject = "system:serviceaccount:billing:default", true }), ""},
		"many workloads":                    {Client{Workloads: many}, "Client.Workloads"},
		"one workload twice":                {Client{Workloads: []Workload{many[0], many[1], many[0]}}, "Client.Workloads[2]"},
		"workload without an issuer":        {workload(func(w *Workload) { w.Issuer = "" }), "Client.Workloads[0].Issuer"},
		"workload of an http issuer":        {workload(func(w *Workload) { w.Issuer = "http://ci.example" }), "Client.Workloads[0].Issuer"},
		"workload of a trust domain's path": {workload(func(w *Workload) { w.Issuer = "spiffe://a.example/b" }), "Client.Workloads[0].Issuer"},
		"workload without a subject":        {workload(func(w *Workload) { w.Subject = "" }), "Client.Workloads[0].Subject"},
		"workload with a line end":          {workload(func(w *Workload) { w.Subject = "a\n" }), "Client.Workloads[0].Subject"},
		"workload without an audience":      {workload(func(w *Workload) { w.Audience = "" }), "Client.Workloads[0].Audience"},
		"wildcard":                          {workload(func(w *Workload) { w.Subject = "repo:acme/*" }), "Client.Workloads[0].Subject"},
		"wildcard alone":                    {workload(func(w *Workload) { w.Subject, w.InsecureSharedSubject = "*", true }), "Client.Workloads[0].Subject"},
		"wildcard inside":                   {workload(func(w *Workload) { w.Subject, w.InsecureSharedSubject = "repo:*:ref:refs/heads/main", true }), "Client.Workloads[0].Subject"},
		"two wildcards":                     {workload(func(w *Workload) { w.Subject, w.InsecureSharedSubject = "repo:a*b*", true }), "Client.Workloads[0].Subject"},
		"default account":                   {workload(func(w *Workload) { w.Subject = "system:serviceaccount:billing:default" }), "Client.Workloads[0].Subject"},
		"default account, SPIFFE":           {workload(func(w *Workload) { w.Subject = "spiffe://a.example/ns/b/sa/default" }), "Client.Workloads[0].Subject"},
		"private_key_jwt, nothing":          {Client{AuthMethod: PrivateKeyJWT}, "Client.AuthMethod"},
		"private_key_jwt, subject":          {Client{AuthMethod: PrivateKeyJWT, TLSClientAuthSubjectDN: "CN=a"}, "Client.AuthMethod"},
		"tls_client_auth, keys":             {Client{AuthMethod: TLSClientAuth, JWKS: keys}, "Client.AuthMethod"},
		"self signed, workload":             {Client{AuthMethod: SelfSignedTLSClientAuth, Workloads: many[:1]}, "Client.AuthMethod"},
		"several credentials":               {Client{JWKS: keys, TLSClientAuthSANDNS: "a.example", Workloads: many[:1], DPoPBoundTokens: true, CertificateBoundTokens: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.client
			c.ID = "c"
			err := c.Validate()
			var refused *InvalidError
			if tt.field == "" && err != nil || tt.field != "" && (!errors.As(err, &refused) || refused.Field != tt.field || refused.Problem == "") {
				t.Errorf("%v, want one about %q", err, tt.field)
			}
		})
	}
}

// An error does not repeat a private key.
func TestPrivateKeyIsNotRepeated(t *testing.T) {
	for _, set := range []string{`{"keys":[{"kty":"EC","d":"hush"}]}`, `{"kty":"EC","d":"hush"}`, `{"keys":[{"d":"hush"}`} {
		if err := (&Client{ID: "c", JWKS: json.RawMessage(set)}).Validate(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestUsesSecret(t *testing.T) {
	for _, tt := range []struct {
		client Client
		want   bool
	}{
		{Client{}, true},
		{Client{AuthMethod: ClientSecretPost, JWKS: json.RawMessage(publicSet)}, true},
		{Client{AuthMethod: ClientSecretBasic}, true},
		{Client{AuthMethod: PrivateKeyJWT}, false},
		{Client{JWKS: json.RawMessage(publicSet)}, false},
		{Client{JWKSURI: "https://a.example"}, false},
		{Client{TLSClientAuthSubjectDN: "CN=a"}, false},
		{Client{TLSClientAuthSANDNS: "a"}, false},
		{Client{TLSClientAuthSANURI: "urn:a"}, false},
		{Client{TLSClientAuthSANIP: "192.0.2.1"}, false},
		{Client{TLSClientAuthSANEmail: "a@b"}, false},
		{Client{Workloads: []Workload{{}}}, false},
		{Client{DPoPBoundTokens: true, CertificateBoundTokens: true}, true},
	} {
		if got := tt.client.UsesSecret(); got != tt.want {
			t.Errorf("%+v: %v", tt.client, got)
		}
	}
	if (*Client)(nil).UsesSecret() {
		t.Error("no client uses a secret")
	}
}

// Ensure makes no secret for a client that authenticates with something else.
func TestEnsureWithoutSecret(t *testing.T) {
	store := &Memory{}
	for range 2 {
		secret, err := Ensure(t.Context(), store, Client{ID: "c", JWKS: json.RawMessage(publicSet)})
		if err != nil || secret != "" {
			t.Errorf("%q, %v", secret, err)
		}
	}
	if c, err := store.Client(t.Context(), "c"); err != nil || len(c.Secrets) != 0 || string(c.JWKS) != publicSet {
		t.Errorf("%+v, %v", c, err)
	}
}
