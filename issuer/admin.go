package issuer

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// admin is the JSON API for a registry, as a [http.Handler] for /clients and
// what lies under it. It does not authenticate: the guard in front does.
type admin struct {
	issuer  *Issuer
	manager registry.Manager
}

func newAdmin(i *Issuer, manager registry.Manager) http.Handler {
	a := &admin{i, manager}
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(*http.Request) (int, any, error){
		"GET /clients":                          a.list,
		"POST /clients":                         a.register,
		"GET /clients/{id}":                     a.get,
		"PUT /clients/{id}":                     a.update,
		"DELETE /clients/{id}":                  a.remove,
		"POST /clients/{id}/secrets":            a.rotate,
		"DELETE /clients/{id}/secrets/{secret}": a.removeSecret,
		"POST /clients/{id}/revoke":             a.revokeTokens,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			status, answer, err := f(r)
			if err != nil {
				adminError(err).write(w, r)
				return
			}
			body, err := json.Marshal(answer)
			if err != nil {
				serverError(err).write(w, r)
				return
			}
			writeJSON(w, status, body)
		})
	}
	return mux
}

// record is a client as the API shows it: the names of RFC 7591 §2 where it has
// one, and never the hash of a secret.
type record struct {
	ID       string `json:"client_id"`
	Secret   string `json:"client_secret,omitempty"` // at registration, once
	IssuedAt int64  `json:"client_id_issued_at,omitempty"`
	// SecretExpiresAt is 0 for never, and required where there is a secret.
	SecretExpiresAt *int64         `json:"client_secret_expires_at,omitempty"`
	Name            string         `json:"client_name,omitempty"`
	AuthMethod      string         `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes      []string       `json:"grant_types,omitempty"`
	Scope           string         `json:"scope,omitempty"`
	Audiences       []string       `json:"audiences,omitempty"`
	DefaultAudience string         `json:"default_audience,omitempty"`
	Introspects     []string       `json:"introspects,omitempty"`
	TokenTTL        int64          `json:"token_ttl,omitempty"` // seconds
	Disabled        bool           `json:"disabled,omitempty"`
	Version         int64          `json:"version,omitempty"`
	Secrets         []secretRecord `json:"secrets,omitempty"`
}

type secretRecord struct {
	ID         string    `json:"secret_id"`
	Label      string    `json:"label,omitempty"`
	Generated  bool      `json:"generated"`
	CreatedAt  time.Time `json:"created_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

func recordOf(c registry.Client) record {
	r := record{
		ID: c.ID, Name: c.Name, AuthMethod: c.AuthMethod, GrantTypes: []string{"client_credentials"},
		Scope: strings.Join(c.Scopes, " "), Audiences: c.Audiences, DefaultAudience: c.DefaultAudience,
		Introspects: c.Introspects, TokenTTL: int64(c.TokenTTL / time.Second), Disabled: c.Disabled, Version: c.Version,
	}
	if !c.CreatedAt.IsZero() {
		r.IssuedAt = c.CreatedAt.Unix()
	}
	for _, s := range c.Secrets {
		r.Secrets = append(r.Secrets, secretRecord{s.ID, s.Label, s.Generated(), s.CreatedAt, s.ExpiresAt, s.LastUsedAt})
	}
	return r
}

// client is the record as it is kept, without secrets.
func (r record) client() (registry.Client, error) {
	for _, g := range r.GrantTypes {
		if g != "client_credentials" {
			return registry.Client{}, invalidMetadata("grant_types: the only one here is client_credentials")
		}
	}
	c := registry.Client{
		ID: r.ID, Name: r.Name, AuthMethod: r.AuthMethod, Audiences: r.Audiences, DefaultAudience: r.DefaultAudience,
		Introspects: r.Introspects, TokenTTL: time.Duration(r.TokenTTL) * time.Second, Disabled: r.Disabled, Version: r.Version,
	}
	if r.Scope != "" {
		scopes, err := registry.ParseScope(r.Scope)
		if err != nil {
			return registry.Client{}, invalidMetadata("scope is not a list of scopes with one space between")
		}
		c.Scopes = scopes
	}
	if r.TokenTTL < 0 || r.TokenTTL > int64(365*24*time.Hour/time.Second) {
		return registry.Client{}, invalidMetadata("token_ttl is not a number of seconds up to a year")
	}
	if err := c.Validate(); err != nil {
		return registry.Client{}, invalidMetadata(strings.TrimPrefix(err.Error(), "issuer: "))
	}
	return c, nil
}

// invalidMetadata is the error of RFC 7591 §3.2.2. It is told to whoever may
// change clients, so it says what is wrong.
func invalidMetadata(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_client_metadata", Description: description}
}

func adminError(err error) *Error {
	var public *Error
	switch {
	case errors.As(err, &public):
		return public
	case errors.Is(err, registry.ErrNotFound):
		return &Error{Status: http.StatusNotFound, Code: "not_found", Description: "there is no such client or secret", cause: err}
	case errors.Is(err, registry.ErrConflict):
		return &Error{Status: http.StatusConflict, Code: "conflict", Description: "the client_id is taken, or the client was changed since this version was read", cause: err}
	}
	return unavailable(err)
}

func (a *admin) list(r *http.Request) (int, any, error) {
	q := registry.Query{Search: r.FormValue("search"), After: r.FormValue("after")}
	if limit := r.FormValue("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > 500 {
			return 0, nil, invalidRequest("limit is not a number from 1 to 500")
		}
		q.Limit = n
	}
	clients, err := a.manager.List(r.Context(), q)
	if err != nil {
		return 0, nil, err
	}
	records := make([]record, len(clients))
	for n, c := range clients {
		records[n] = recordOf(c)
	}
	return http.StatusOK, map[string]any{"clients": records}, nil
}

// register adds a client (RFC 7591 §3.2.1) with a generated secret. It makes up
// an id where none is given.
func (a *admin) register(r *http.Request) (int, any, error) {
	var asked record
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	if asked.Secret != "" || asked.Secrets != nil {
		return 0, nil, invalidMetadata("client_secret: the issuer generates it")
	}
	if asked.ID == "" {
		asked.ID = newClientID()
	}
	c, err := asked.client()
	if err != nil {
		return 0, nil, err
	}
	plain, secret := registry.GenerateSecret()
	c.Secrets = []registry.Secret{secret}
	if c, err = a.manager.Register(r.Context(), c); err != nil {
		return 0, nil, err
	}
	_ = a.issuer.Sync(r.Context()) // should it fail, the change counts within 2 s
	answer, never := recordOf(c), int64(0)
	answer.Secret, answer.SecretExpiresAt = plain, &never
	return http.StatusCreated, answer, nil
}

// newClientID makes up an id: 80 random bits, in characters that need no escaping
// anywhere.
func newClientID() string {
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(random))
}

func (a *admin) get(r *http.Request) (int, any, error) {
	c, err := a.manager.Client(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, recordOf(*c), nil
}

// update replaces the record (RFC 7592 §2.2), but for the secrets. Disabling a
// client stops its tokens too.
func (a *admin) update(r *http.Request) (int, any, error) {
	var asked record
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	if id := r.PathValue("id"); asked.ID != "" && asked.ID != id {
		return 0, nil, invalidMetadata("client_id is not the one in the URL")
	}
	asked.ID = r.PathValue("id")
	c, err := asked.client()
	if err != nil {
		return 0, nil, err
	}
	if c.Version == 0 {
		return 0, nil, invalidMetadata("version is missing: it is that of the record the change was made to")
	}
	if c, err = a.manager.Update(r.Context(), c); err != nil {
		return 0, nil, err
	}
	_ = a.issuer.Sync(r.Context()) // should it fail, the change counts within 2 s
	return http.StatusOK, recordOf(c), nil
}

func (a *admin) remove(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if err := a.manager.Delete(r.Context(), id); err != nil {
		return 0, nil, err
	}
	_ = a.issuer.Sync(r.Context()) // should it fail, the change counts within 2 s
	return http.StatusOK, struct{}{}, nil
}

// rotate generates a secret. The others end after overlap seconds, one day if
// nothing is said.
func (a *admin) rotate(r *http.Request) (int, any, error) {
	asked := struct {
		Label   string `json:"label"`
		Overlap *int64 `json:"overlap"`
	}{}
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	overlap := 24 * time.Hour
	if asked.Overlap != nil {
		if *asked.Overlap < 0 || *asked.Overlap > int64(365*24*time.Hour/time.Second) {
			return 0, nil, invalidRequest("overlap is not a number of seconds up to a year")
		}
		overlap = time.Duration(*asked.Overlap) * time.Second
	}
	id := r.PathValue("id")
	plain, err := a.manager.RotateSecret(r.Context(), id, overlap, asked.Label)
	if err != nil {
		return 0, nil, err
	}
	_ = a.issuer.Sync(r.Context()) // should it fail, the change counts within 2 s
	secretID, _ := registry.SecretID(plain)
	return http.StatusCreated, map[string]any{"client_id": id, "secret_id": secretID, "client_secret": plain, "client_secret_expires_at": 0}, nil
}

func (a *admin) removeSecret(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if err := a.manager.RemoveSecret(r.Context(), id, r.PathValue("secret")); err != nil {
		return 0, nil, err
	}
	_ = a.issuer.Sync(r.Context()) // should it fail, the change counts within 2 s
	return http.StatusOK, struct{}{}, nil
}

func (a *admin) revokeTokens(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if _, err := a.manager.Client(r.Context(), id); err != nil {
		return 0, nil, err
	}
	if err := a.issuer.RevokeClient(r.Context(), id); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, struct{}{}, nil
}

// readJSON reads a body of one JSON object with known members. An empty body is
// an empty object.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	if err != nil {
		return invalidRequest("the request is larger than 64 KiB, or ended early")
	}
	if len(body) == 0 {
		return nil
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return invalidRequest("Content-Type must be application/json")
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return invalidRequest("the request is not the JSON object that is wanted: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if decoder.More() {
		return invalidRequest("something follows the JSON object")
	}
	return nil
}
