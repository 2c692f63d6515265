package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// shown is a client in an answer of the API.
type shown struct {
	record
	rest map[string]json.RawMessage // the members that this tool does not know, as they are
}

// UnmarshalJSON reads a client.
func (r *shown) UnmarshalJSON(doc []byte) error {
	if err := json.Unmarshal(doc, &r.record); err != nil {
		return err
	}
	if err := json.Unmarshal(doc, &r.rest); err != nil {
		return err
	}
	known := knownTo(reflect.TypeFor[record]())
	_, err := readWorkloads(r.rest["workload"])
	known["workload"] = err == nil
	maps.DeleteFunc(r.rest, func(name string, _ json.RawMessage) bool { return known[name] })
	return nil
}

// note keeps what this tool does not know of a client, for Update.
func (a *apiClients) note(r *shown) {
	if a.rest == nil {
		a.rest = map[string]map[string]json.RawMessage{}
	}
	a.rest[r.ID] = r.rest
}

// fromAPI returns the client of an answer. The API tells which secrets were generated
// and shows no hash: the Hash of those is the beginning that [registry.Secret.Generated]
// reads, and that of the others is empty.
func fromAPI(r *record) (*registry.Client, error) {
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	if r.IssuedAt != 0 {
		c.CreatedAt = time.Unix(r.IssuedAt, 0)
	}
	for _, s := range r.Secrets {
		secret := registry.Secret{ID: s.ID, Label: s.Label, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, LastUsedAt: s.LastUsedAt}
		if s.Generated {
			secret.Hash = "sha256:"
		}
		c.Secrets = append(c.Secrets, secret)
	}
	return &c, nil
}

func pathOf(id string, more ...string) string {
	parts := []string{"/clients", url.PathEscape(id)}
	for _, part := range more {
		parts = append(parts, url.PathEscape(part))
	}
	return strings.Join(parts, "/")
}

func (a *apiClients) Client(ctx context.Context, id string) (*registry.Client, error) {
	if !registry.ValidID(id) { // and so it is no path that a server would clean
		return nil, registry.ErrNotFound
	}
	return a.one(ctx, http.MethodGet, pathOf(id), nil, id)
}

// one makes a request whose answer is the client of that id.
func (a *apiClients) one(ctx context.Context, method, path string, body any, id string) (*registry.Client, error) {
	var r shown
	if err := a.call(ctx, method, path, body, &r); err != nil {
		return nil, err
	}
	c, err := fromAPI(&r.record)
	if err != nil || c.ID != id {
		return nil, fmt.Errorf("%w: it does not have the client %q", errNotAdmin, id)
	}
	a.note(&r)
	return c, nil
}

func (a *apiClients) List(ctx context.Context, q registry.Query) ([]registry.Client, error) {
	values := url.Values{"limit": {strconv.Itoa(q.Size())}}
	if q.Search != "" {
		values.Set("search", q.Search)
	}
	if q.After != "" {
		values.Set("after", q.After)
	}
	var page struct {
		Clients []shown `json:"clients"`
	}
	if err := a.call(ctx, http.MethodGet, "/clients?"+values.Encode(), nil, &page); err != nil {
		return nil, err
	}
	if page.Clients == nil { // and so it does not say that there are none
		return nil, fmt.Errorf("%w: it has no clients", errNotAdmin)
	}
	clients := make([]registry.Client, 0, len(page.Clients))
	for n := range page.Clients {
		c, err := fromAPI(&page.Clients[n].record)
		if err != nil {
			return nil, err
		}
		a.note(&page.Clients[n])
		clients = append(clients, *c)
	}
	return clients, nil
}

// registration is what the API takes to add a client: its record, and the secret by its
// hash. The record has the expiry of the secret.
type registration struct {
	record
	SecretLabel string `json:"label,omitempty"`
	SecretID    string `json:"secret_id"`
	SecretHash  string `json:"client_secret_hash"`
}

// expiry returns when a secret expires, as the API takes it: in whole Unix seconds,
// rounded down, 0 for never.
func expiry(secret registry.Secret) int64 {
	if secret.ExpiresAt.IsZero() {
		return 0
	}
	return secret.ExpiresAt.Unix()
}

// Register adds a client with its secrets: one in the same step, and more one by one.
// Only clients of export -hashes may have more than one. A run that is killed in between
// leaves the client with the first of them, and apply adds the rest. The API would
// generate a secret for a client that uses one and has none, so that is refused.
func (a *apiClients) Register(ctx context.Context, c registry.Client) (registry.Client, error) {
	if len(c.Secrets) == 0 && c.UsesSecret() {
		return registry.Client{}, errors.New("through the admin API a client is added with a secret")
	}
	if len(c.Secrets) == 0 {
		stored, err := a.one(ctx, http.MethodPost, "/clients", settings(&c), c.ID)
		if err != nil {
			return registry.Client{}, err
		}
		return *stored, nil
	}
	first, more := c.Secrets[0], c.Secrets[1:]
	sent := registration{record: settings(&c), SecretLabel: first.Label, SecretID: first.ID, SecretHash: first.Hash}
	sent.SecretExpiresAt = expiry(first)
	stored, err := a.one(ctx, http.MethodPost, "/clients", sent, c.ID)
	if err != nil {
		return registry.Client{}, err
	}
	for _, secret := range more {
		if err := a.AddSecret(ctx, c.ID, secret); err != nil {
			return registry.Client{}, err
		}
	}
	return *stored, nil
}

// Update sends the members back that this tool does not know: the API would clear what is
// left out.
func (a *apiClients) Update(ctx context.Context, c registry.Client) (registry.Client, error) {
	sent := settings(&c)
	sent.Version = c.Version
	body, err := withRest(sent, a.rest[c.ID])
	if err != nil {
		return registry.Client{}, err
	}
	stored, err := a.one(ctx, http.MethodPut, pathOf(c.ID), body, c.ID)
	if err != nil {
		return registry.Client{}, err
	}
	return *stored, nil
}

// withRest adds members to a record. Workloads of which this tool knows a part replace
// those of the record if that part is equal.
func withRest(r record, rest map[string]json.RawMessage) (any, error) {
	if len(rest) == 0 {
		return r, nil
	}
	text, err := json.Marshal(r) //nolint:gosec // the record of an update has no secret
	if err != nil {
		return nil, err
	}
	members := maps.Clone(rest)
	var known []registry.Workload
	if raw := rest["workload"]; len(raw) > 0 && (json.Unmarshal(raw, &known) != nil || !slices.Equal(known, r.Workloads)) {
		delete(members, "workload")
	}
	kept := maps.Clone(members)
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	maps.Copy(members, kept)
	return members, nil
}

func (a *apiClients) Delete(ctx context.Context, id string) error {
	return a.call(ctx, http.MethodDelete, pathOf(id), nil, nil)
}

func (a *apiClients) AddSecret(ctx context.Context, id string, secret registry.Secret) error {
	sent := struct {
		Label     string `json:"label,omitempty"`
		ExpiresAt int64  `json:"client_secret_expires_at,omitempty"`
		ID        string `json:"secret_id"`
		Hash      string `json:"client_secret_hash"`
	}{secret.Label, expiry(secret), secret.ID, secret.Hash}
	return a.call(ctx, http.MethodPost, pathOf(id, "secrets", "add"), sent, nil)
}

func (a *apiClients) RotateSecret(ctx context.Context, id string, r registry.Rotation) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	seconds := int64((r.Overlap + time.Second - 1) / time.Second)
	sent := struct {
		Label   string `json:"label,omitempty"`
		Overlap int64  `json:"overlap"`
		Revoke  bool   `json:"revoke,omitempty"`
	}{r.Label, seconds, r.Revoke}
	var answer struct {
		Secret string `json:"client_secret"`
	}
	if err := a.call(ctx, http.MethodPost, pathOf(id, "secrets"), sent, &answer); err != nil {
		return "", err
	}
	if _, ok := registry.SecretID(answer.Secret); !ok {
		return "", fmt.Errorf("%w: it has no new secret", errNotAdmin)
	}
	return answer.Secret, nil
}

func (a *apiClients) RemoveSecret(ctx context.Context, id, secretID string, revoke bool) error {
	path := pathOf(id, "secrets", secretID)
	if revoke {
		path += "?revoke=true"
	}
	return a.call(ctx, http.MethodDelete, path, nil, nil)
}

// Revoke revokes the tokens of a client, or of all. The tool makes no other change.
func (a *apiClients) Revoke(ctx context.Context, c registry.Change) (int64, error) {
	if c.Kind == registry.ClientCutOff {
		return 0, a.call(ctx, http.MethodPost, pathOf(c.ClientID, "revoke"), nil, nil)
	}
	if c.Kind == registry.AllCutOff {
		return 0, a.call(ctx, http.MethodPost, "/clients/revoke", nil, nil)
	}
	return 0, errors.New("the admin API cannot make this change of the feed")
}
