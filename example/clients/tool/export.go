package tool

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var exportVerb = Verb{
	Group: groupMany, Name: "export", Args: "[-csv] [-hashes]", Summary: "print all clients, for apply or import", NoJSON: true,
	Text: `Prints all clients: a JSON array for plan and apply, or with -csv a file for import.
Secrets are left out. -hashes adds the hashes of the secrets to the JSON, so that they
work in the database that apply writes to. Keep such a file as secret as the database:
secrets that people chose can be guessed from it. The admin API shows no hashes.

An enabled client has no "disabled", so apply does not enable one that was disabled
since.`,
	Example: "clients export >clients.json\nclients export -csv >clients.csv",
	Setup: func(flags *flag.FlagSet) Action {
		asCSV := flags.Bool("csv", false, "a CSV file instead of JSON")
		hashes := flags.Bool("hashes", false, "with the hashes of the secrets")
		return func(ctx context.Context, s *Session, _ []string) error {
			if *asCSV && *hashes {
				return errors.New("-hashes is for JSON: leave -csv out")
			}
			clients, err := all(ctx, s)
			switch {
			case err != nil:
				return err
			case *asCSV:
				return s.exportCSV(clients)
			}
			return s.exportJSON(clients, *hashes)
		}
	},
}

func (s *Session) exportJSON(clients []registry.Client, hashes bool) error {
	records := make([]record, 0, len(clients))
	for n := range clients {
		r := settings(&clients[n])
		for _, secret := range clients[n].Secrets {
			if !hashes {
				break
			}
			if secret.Hash == "" || secret.Validate() != nil {
				return errors.New("the admin API shows no hashes: export with -hashes from the database")
			}
			r.Secrets = append(r.Secrets, secretRecord{ID: secret.ID, Label: secret.Label, Generated: secret.Generated(), Hash: secret.Hash, ExpiresAt: secret.ExpiresAt})
		}
		records = append(records, r)
	}
	return s.answer(records)
}

var exportColumns = []string{
	"client_id", "client_name", "scope", "audiences", "default_audience", "introspects", "token_ttl", "token_endpoint_auth_method", "disabled", "metadata",
	"jwks", "jwks_uri", "tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
	"workload", "dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens",
}

func (s *Session) exportCSV(clients []registry.Client) error {
	w := csv.NewWriter(s.Out)
	if err := w.Write(exportColumns); err != nil {
		return err
	}
	for _, c := range clients {
		ttl, disabled, metadata := "", ifTrue(c.Disabled), ""
		if c.TokenTTL != 0 {
			ttl = strconv.FormatInt(int64(c.TokenTTL/time.Second), 10)
		}
		if len(c.Metadata) > 0 {
			text, err := json.Marshal(c.Metadata)
			if err != nil {
				return err
			}
			metadata = string(text)
		}
		cells := []string{
			c.ID, c.Name, strings.Join(c.Scopes, " "), strings.Join(c.Audiences, " "), c.DefaultAudience, strings.Join(c.Introspects, " "), ttl, c.AuthMethod, disabled, metadata,
			strings.TrimSpace(canonical(c.JWKS)), c.JWKSURI, c.TLSClientAuthSubjectDN, c.TLSClientAuthSANDNS, c.TLSClientAuthSANURI, c.TLSClientAuthSANIP, c.TLSClientAuthSANEmail,
			workloads(c.Workloads), ifTrue(c.DPoPBoundTokens), ifTrue(c.CertificateBoundTokens),
		}
		for n, cell := range cells {
			if cell != strings.TrimSpace(cell) || strings.Contains(cell, "\r") {
				return fmt.Errorf("client %q: a CSV file cannot keep the white space of %s: leave -csv out", c.ID, exportColumns[n])
			}
		}
		for _, audience := range c.Introspects {
			if audience == "" || strings.ContainsFunc(audience, unicode.IsSpace) {
				return fmt.Errorf("client %q: a CSV file cannot keep the white space of introspects: leave -csv out", c.ID)
			}
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// ifTrue is the cell of a field that is false where the cell is empty.
func ifTrue(set bool) string {
	if set {
		return "true"
	}
	return ""
}
