package tool

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// fields are the flags of a client's fields, of add and set.
type fields struct {
	flags                                                     *flag.FlagSet
	name, scope, audiences, fallback, introspects, authMethod string
	ttl                                                       time.Duration
	disabled                                                  bool
	metadata                                                  map[string]string
	jwks                                                      json.RawMessage
	jwksURI                                                   string
	subjectDN, sanDNS, sanURI, sanIP, sanEmail                string
	workloads                                                 []registry.Workload
	shared, dpopBound, certificateBound                       bool
}

// addFields adds the flags.
func addFields(flags *flag.FlagSet) *fields {
	f := &fields{flags: flags, metadata: map[string]string{}}
	flags.StringVar(&f.name, "name", "", "`NAME` for people")
	flags.StringVar(&f.scope, "scope", "", "all `SCOPES` that it may be granted, with spaces between them")
	flags.StringVar(&f.audiences, "audience", "", "the APIs that it gets tokens for: `URI[,URI…]`, several in one flag")
	flags.StringVar(&f.fallback, "default-audience", "", "the `URI` of those that a request without resource means")
	flags.StringVar(&f.introspects, "introspects", "", "the audiences whose tokens it may introspect: `URI[,URI…]`, * for all")
	flags.StringVar(&f.authMethod, "auth-method", "", "the only `METHOD` to authenticate: client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or self_signed_tls_client_auth; if left out, all that it has a credential for")
	f.addCredentials()
	flags.DurationVar(&f.ttl, "ttl", 0, "`LIFETIME` of its tokens, such as 5m; 0 for the issuer's")
	flags.BoolVar(&f.disabled, "disabled", false, "it gets no tokens; -disabled=false enables it")
	flags.Var(repeated(func(entry string) error {
		key, value, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			return errors.New("write KEY=VALUE")
		}
		if _, ok := f.metadata[key]; ok {
			return fmt.Errorf("%s is given twice", key)
		}
		f.metadata[key] = value
		return nil
	}), "metadata", "`KEY=VALUE` of the app's own, such as tenant=acme; may be repeated")
	return f
}

// addCredentials adds the flags of what a client authenticates with instead of a secret.
func (f *fields) addCredentials() {
	f.flags.Func("jwks", "its public keys: a `FILE` with a JWK set", func(path string) (err error) {
		f.jwks, err = readKeys(path)
		return err
	})
	f.flags.StringVar(&f.jwksURI, "jwks-uri", "", "the `URL` at which it publishes its public keys")
	f.flags.StringVar(&f.subjectDN, "tls-subject-dn", "", "the subject `DN` of its certificate, such as CN=billing; at most one of the five -tls- flags")
	f.flags.StringVar(&f.sanDNS, "tls-san-dns", "", "or the `HOST` name that its certificate has")
	f.flags.StringVar(&f.sanURI, "tls-san-uri", "", "or the `URI` that its certificate has")
	f.flags.StringVar(&f.sanIP, "tls-san-ip", "", "or the IP `ADDRESS` that its certificate has")
	f.flags.StringVar(&f.sanEmail, "tls-san-email", "", "or the email `ADDRESS` that its certificate has")
	f.flags.Var(repeated(func(text string) error {
		w, err := parseWorkload(text)
		f.workloads = append(f.workloads, w)
		return err
	}), "workload", "a workload that is this client: `\"ISSUER SUBJECT AUDIENCE\"` of its tokens; may be repeated, and replaces the whole list")
	f.flags.BoolVar(&f.shared, "insecure-shared-subject", false, "the -workload flags may name a subject that several programs share: a default service account, or one that ends in *")
	f.flags.BoolVar(&f.dpopBound, "dpop-bound", false, "its tokens are bound to a key by DPoP; -dpop-bound=false ends that")
	f.flags.BoolVar(&f.certificateBound, "certificate-bound", false, "its tokens are bound to the certificate of its connection; -certificate-bound=false ends that")
}

// apply sets the fields whose flags were given, and reports whether any was.
func (f *fields) apply(c *registry.Client) (given bool) {
	f.flags.Visit(func(set *flag.Flag) {
		given = given || clearable[set.Name] != nil || set.Name == "clear"
		switch set.Name {
		case "name":
			c.Name = f.name
		case "scope":
			c.Scopes = strings.Fields(f.scope)
		case "audience":
			c.Audiences = split(f.audiences)
		case "default-audience":
			c.DefaultAudience = f.fallback
		case "introspects":
			c.Introspects = split(f.introspects)
		case "auth-method":
			c.AuthMethod = f.authMethod
		case "ttl":
			c.TokenTTL = f.ttl
		case "disabled":
			c.Disabled = f.disabled
		case "metadata":
			if c.Metadata == nil {
				c.Metadata = map[string]string{}
			}
			maps.Copy(c.Metadata, f.metadata)
		case "jwks":
			c.JWKS = f.jwks
		case "jwks-uri":
			c.JWKSURI = f.jwksURI
		case "tls-subject-dn":
			c.TLSClientAuthSubjectDN = f.subjectDN
		case "tls-san-dns":
			c.TLSClientAuthSANDNS = f.sanDNS
		case "tls-san-uri":
			c.TLSClientAuthSANURI = f.sanURI
		case "tls-san-ip":
			c.TLSClientAuthSANIP = f.sanIP
		case "tls-san-email":
			c.TLSClientAuthSANEmail = f.sanEmail
		case "workload":
			c.Workloads = f.workloads
			for n := range c.Workloads {
				c.Workloads[n].InsecureSharedSubject = f.shared
			}
		case "dpop-bound":
			c.DPoPBoundTokens = f.dpopBound
		case "certificate-bound":
			c.CertificateBoundTokens = f.certificateBound
		}
	})
	return given
}

// clearable are the fields that set -clear takes.
var clearable = map[string]func(*registry.Client){
	"name":              func(c *registry.Client) { c.Name = "" },
	"scope":             func(c *registry.Client) { c.Scopes = nil },
	"audience":          func(c *registry.Client) { c.Audiences = nil },
	"default-audience":  func(c *registry.Client) { c.DefaultAudience = "" },
	"introspects":       func(c *registry.Client) { c.Introspects = nil },
	"auth-method":       func(c *registry.Client) { c.AuthMethod = "" },
	"ttl":               func(c *registry.Client) { c.TokenTTL = 0 },
	"disabled":          func(c *registry.Client) { c.Disabled = false },
	"metadata":          func(c *registry.Client) { c.Metadata = nil },
	"jwks":              func(c *registry.Client) { c.JWKS = nil },
	"jwks-uri":          func(c *registry.Client) { c.JWKSURI = "" },
	"tls-subject-dn":    func(c *registry.Client) { c.TLSClientAuthSubjectDN = "" },
	"tls-san-dns":       func(c *registry.Client) { c.TLSClientAuthSANDNS = "" },
	"tls-san-uri":       func(c *registry.Client) { c.TLSClientAuthSANURI = "" },
	"tls-san-ip":        func(c *registry.Client) { c.TLSClientAuthSANIP = "" },
	"tls-san-email":     func(c *registry.Client) { c.TLSClientAuthSANEmail = "" },
	"workload":          func(c *registry.Client) { c.Workloads = nil },
	"dpop-bound":        func(c *registry.Client) { c.DPoPBoundTokens = false },
	"certificate-bound": func(c *registry.Client) { c.CertificateBoundTokens = false },
}

// clearFields clears the named fields. metadata.KEY is one entry of the metadata.
func clearFields(c *registry.Client, names []string) error {
	for _, name := range names {
		if key, ok := strings.CutPrefix(name, "metadata."); ok {
			delete(c.Metadata, key)
			continue
		}
		empty, ok := clearable[name]
		if !ok {
			return fmt.Errorf("-clear %s: write %s or metadata.KEY", name, strings.Join(slices.Sorted(maps.Keys(clearable)), ", "))
		}
		empty(c)
	}
	return nil
}

// split reads a list with commas or spaces.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
