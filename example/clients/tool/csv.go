package tool

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// columns are the columns of a CSV file, and what a cell of each sets.
var columns = map[string]func(d *desired, cell string) error{
	"client_id":                  func(d *desired, cell string) error { d.client.ID = cell; return nil },
	"client_name":                func(d *desired, cell string) error { d.client.Name = cell; return nil },
	"scope":                      func(d *desired, cell string) error { d.client.Scopes = strings.Fields(cell); return nil },
	"audiences":                  func(d *desired, cell string) error { d.client.Audiences = strings.Fields(cell); return nil },
	"default_audience":           func(d *desired, cell string) error { d.client.DefaultAudience = cell; return nil },
	"introspects":                func(d *desired, cell string) error { d.client.Introspects = strings.Fields(cell); return nil },
	"token_endpoint_auth_method": func(d *desired, cell string) error { d.client.AuthMethod = cell; return nil },
	"jwks":                       setKeys,
	"jwks_uri":                   func(d *desired, cell string) error { d.client.JWKSURI = cell; return nil },
	"tls_client_auth_subject_dn": func(d *desired, cell string) error { d.client.TLSClientAuthSubjectDN = cell; return nil },
	"tls_client_auth_san_dns":    func(d *desired, cell string) error { d.client.TLSClientAuthSANDNS = cell; return nil },
	"tls_client_auth_san_uri":    func(d *desired, cell string) error { d.client.TLSClientAuthSANURI = cell; return nil },
	"tls_client_auth_san_ip":     func(d *desired, cell string) error { d.client.TLSClientAuthSANIP = cell; return nil },
	"tls_client_auth_san_email":  func(d *desired, cell string) error { d.client.TLSClientAuthSANEmail = cell; return nil },
	"workload":                   setWorkloads,
	"dpop_bound_access_tokens":   func(d *desired, cell string) error { return setBool(&d.client.DPoPBoundTokens, cell) },
	"tls_client_certificate_bound_access_tokens": func(d *desired, cell string) error { return setBool(&d.client.CertificateBoundTokens, cell) },
	"token_ttl":     setTTL,
	"disabled":      setDisabledCell,
	"metadata":      setMetadata,
	"client_secret": setSecret,
	"secret_hash":   setHash,
}

func setTTL(d *desired, cell string) error {
	if cell == "" {
		return nil
	}
	seconds, err := strconv.ParseInt(cell, 10, 64)
	if err != nil || seconds < 0 || seconds > maxSeconds {
		return errors.New("write a number of seconds up to a year")
	}
	d.client.TokenTTL = time.Duration(seconds) * time.Second
	return nil
}

func setDisabledCell(d *desired, cell string) error {
	d.keepDisabled = d.keepDisabled && cell == ""
	return setBool(&d.client.Disabled, cell)
}

func setBool(field *bool, cell string) (err error) {
	if cell == "" {
		return nil
	}
	if *field, err = strconv.ParseBool(cell); err != nil {
		return errors.New("write true or false")
	}
	return nil
}

// setKeys leaves it to checkKeys and to Validate what a JWK set is.
func setKeys(d *desired, cell string) error {
	if cell != "" {
		d.client.JWKS = json.RawMessage(cell)
	}
	return nil
}

func setWorkloads(d *desired, cell string) (err error) {
	d.client.Workloads, err = readWorkloads([]byte(cell))
	return err
}

func setMetadata(d *desired, cell string) error {
	if cell == "" {
		return nil
	}
	object, err := jose.ParseObject(cell)
	if err == nil {
		err = object.Unmarshal(&d.client.Metadata)
	}
	if err != nil {
		return errors.New(`write a JSON object of texts, such as {"tenant":"acme"}`)
	}
	return nil
}

func setSecret(d *desired, cell string) error {
	if cell != "" && !registry.ValidSecret(cell) {
		return errors.New("write 1 to 1024 characters of printable ASCII")
	}
	d.secret = cell
	return nil
}

func setHash(d *desired, cell string) error {
	if cell == "" {
		return nil
	}
	secret, err := registry.ImportSecret(cell)
	if err != nil {
		return errors.New(strings.TrimPrefix(plain(err).Error(), "secret_hash: "))
	}
	d.client.Secrets = []registry.Secret{secret}
	return nil
}

// row is a row of a CSV file.
type row struct {
	desired
	problems []string // why it is bad
}

// readRows reads a CSV file. Its first row names the columns.
func readRows(in io.Reader) (header []string, rows []row, err error) {
	content, err := io.ReadAll(in)
	if err != nil {
		return nil, nil, err
	}
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	reader.FieldsPerRecord = -1
	if header, err = reader.Read(); err != nil {
		return nil, nil, fmt.Errorf("the first row must name the columns: %w", err)
	}
	if err := checkHeader(header); err != nil {
		return nil, nil, err
	}
	lines := map[string]int{} // by client id
	for {
		cells, err := reader.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return header, rows, nil
		case errors.As(err, &syntax):
			rows = append(rows, row{desired{line: syntax.StartLine}, []string{"it is no CSV: " + syntax.Err.Error()}})
			continue
		case err != nil:
			return nil, nil, err
		}
		line, _ := reader.FieldPos(0)
		r := readRow(header, cells)
		r.line = line
		if first := lines[r.client.ID]; first > 0 {
			r.problems = append(r.problems, fmt.Sprintf("client_id is that of line %d", first))
		}
		if len(r.problems) == 0 {
			lines[r.client.ID] = line
		}
		rows = append(rows, r)
	}
}

func checkHeader(header []string) error {
	for n, name := range header {
		header[n] = strings.TrimSpace(name)
		switch {
		case columns[header[n]] == nil:
			return fmt.Errorf("the first row names the column %.64q: the columns are %s", name, strings.Join(slices.Sorted(maps.Keys(columns)), ", "))
		case slices.Contains(header[:n], header[n]):
			return fmt.Errorf("the first row names the column %.64q twice", name)
		}
	}
	if !slices.Contains(header, "client_id") {
		return errors.New("the first row names no column client_id")
	}
	return nil
}

func readRow(header, cells []string) row {
	r := row{desired: desired{keepDisabled: true}}
	if len(cells) != len(header) {
		r.problems = append(r.problems, fmt.Sprintf("it has %d cells, and the first row has %d", len(cells), len(header)))
	}
	for n, cell := range cells[:min(len(cells), len(header))] {
		trimmed := strings.TrimSpace(cell)
		err := columns[header[n]](&r.desired, trimmed)
		if header[n] == "client_secret" && trimmed != "" && trimmed != cell {
			err = errors.New("it has white space around it: write it without, or give the client another secret")
		}
		if err != nil {
			r.problems = append(r.problems, header[n]+": "+err.Error())
		}
	}
	switch {
	case len(cells) != len(header): // what the cells are is not known
		return r
	case slices.EqualFunc(header, cells, func(name, cell string) bool { return name == strings.TrimSpace(cell) }):
		r.problems = []string{"the row names the columns again, as where two files were joined"}
		return r
	case r.secret != "" && len(r.client.Secrets) > 0:
		r.problems = append(r.problems, "client_secret and secret_hash are both there: write one of them")
	}
	if err := r.client.Validate(); err != nil {
		r.problems = append(r.problems, plain(err).Error())
	} else if err := checkKeys(r.client.JWKS); err != nil {
		r.problems = append(r.problems, err.Error())
	}
	for n := range r.client.Secrets {
		r.client.Secrets[n].ID = importedID(r.client.ID, r.client.Secrets[n].Hash)
	}
	return r
}

// importedID is the id of a secret of a CSV file. It is the same in every run, so that
// the next one finds the secret, also where the hashes are not shown.
func importedID(clientID, hash string) string {
	sum := sha256.Sum256([]byte(clientID + "\x00" + hash))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}
