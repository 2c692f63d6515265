package tool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// desired is what a file says that a client is.
type desired struct {
	client       registry.Client // its secrets are those that the file has by their hashes
	secret       string          // a secret in plain, or none
	keepDisabled bool            // the file does not say whether it is disabled
	line         int             // where the file says it, of a CSV file
}

// wantsSecret reports whether a client of this kind needs a generated secret when it
// is added.
func (d *desired) wantsSecret() bool {
	return d.secret == "" && len(d.client.Secrets) == 0 && d.client.UsesSecret()
}

// input opens a file, or the standard input for "-".
func (s *Session) input(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(s.In), nil
	}
	return os.Open(path)
}

// readDesired reads a JSON array of clients, or the answer of list -json, which is a
// page.
func (s *Session) readDesired(path string) (clients []desired, isPage bool, err error) {
	file, err := s.input(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	doc, err := io.ReadAll(file)
	if err != nil {
		return nil, false, err
	}
	doc = bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("\ufeff")))
	clients, err = parseDesired(doc)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return clients, bytes.HasPrefix(doc, []byte("{")), nil
}

// page is the answer of list -json.
type page struct {
	Clients []json.RawMessage `json:"clients"`
}

func parseDesired(doc []byte) ([]desired, error) {
	var entries []json.RawMessage
	list, err := json.RawMessage(doc), error(nil)
	if bytes.HasPrefix(doc, []byte("{")) {
		var members map[string]json.RawMessage
		members, err = strict(doc, reflect.TypeFor[page]())
		list = orNull(members["clients"])
	}
	if err == nil {
		err = json.Unmarshal(list, &entries)
	}
	if err != nil {
		return nil, fmt.Errorf("it is no JSON array of clients: %w", err)
	}
	if entries == nil {
		return nil, errors.New(`it is no JSON array of clients: write [{"client_id": …}, …]`)
	}
	clients, seen := make([]desired, 0, len(entries)), map[string]int{}
	for n, entry := range entries {
		d, err := parseClient(entry)
		if err != nil {
			return nil, fmt.Errorf("client %d: %w", n+1, err)
		}
		if first := seen[d.client.ID]; first > 0 {
			return nil, fmt.Errorf("client %d: client_id %q is that of client %d", n+1, d.client.ID, first)
		}
		seen[d.client.ID] = n + 1
		clients = append(clients, d)
	}
	return clients, nil
}

func parseClient(doc []byte) (desired, error) {
	r, err := readRecord(doc)
	if err != nil {
		return desired{}, err
	}
	if r.SecretExpiresAt != 0 {
		return desired{}, errors.New("client_secret_expires_at: write 0, for never, or leave it out")
	}
	if r.Secret != "" && !registry.ValidSecret(r.Secret) {
		return desired{}, errors.New("client_secret: write 1 to 1024 characters of printable ASCII")
	}
	c, err := r.client()
	if err != nil {
		return desired{}, plain(err)
	}
	c.Version = 0
	now := time.Now()
	for _, secret := range r.Secrets {
		kept := registry.Secret{ID: secret.ID, Hash: secret.Hash, Label: secret.Label, ExpiresAt: secret.ExpiresAt}
		if kept.Hash != "" && !kept.Expired(now) { // list and show give no hashes
			c.Secrets = append(c.Secrets, kept)
		}
	}
	if err := checkKeys(c.JWKS); err != nil {
		return desired{}, err
	}
	return desired{client: c, secret: r.Secret, keepDisabled: r.Disabled == nil}, plain(c.Validate())
}

// plain returns the error in the words of the file: its members, not Go's fields.
func plain(err error) error {
	var invalid *registry.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	field, element, _ := strings.Cut(invalid.Field, "[") // such as Client.Workloads[0].Subject
	name, ok := members[field]
	switch {
	case !ok:
		name = invalid.Field
	case element != "":
		name += "[" + strings.ToLower(element)
	}
	problem := inMembers.Replace(invalid.Problem)
	return errors.New(name + ": " + problem)
}

// members are the names in files of the fields that can be wrong.
var members = map[string]string{
	"Client.ID": "client_id", "Client.Name": "client_name", "Client.AuthMethod": "token_endpoint_auth_method",
	"Client.Scopes": "scope", "Client.Audiences": "audiences", "Client.DefaultAudience": "default_audience",
	"Client.Introspects": "introspects", "Client.TokenTTL": "token_ttl", "Client.Metadata": "metadata", "Client.Secrets": "secrets",
	"Secret.Hash": "secret_hash",
	"Client.JWKS": "jwks", "Client.JWKSURI": "jwks_uri", "Client.TLSClientAuthSubjectDN": "tls_client_auth_subject_dn",
	"Client.TLSClientAuthSANDNS": "tls_client_auth_san_dns", "Client.TLSClientAuthSANURI": "tls_client_auth_san_uri", "Client.TLSClientAuthSANIP": "tls_client_auth_san_ip",
	"Client.TLSClientAuthSANEmail": "tls_client_auth_san_email", "Client.TLSClientAuthSAN…": "tls_client_auth_san_…",
	"Client.Workloads": "workload", "Workload.InsecureSharedSubject": "insecure_shared_subject",
}

// inMembers replaces the names of Go by those of members in the text of a problem.
var inMembers = func() *strings.Replacer {
	names := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b)) // a name before its beginning
	})
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, name, members[name])
	}
	return strings.NewReplacer(pairs...)
}()
