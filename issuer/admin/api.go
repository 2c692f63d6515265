package admin

import (
	"crypto/rand"
	"encoding/base32"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

func (a *API) list(r *http.Request, e *Event) (int, any, error) {
	e.Target = "*"
	asked := r.URL.Query() // not FormValue, which reads a multipart body without a bound
	q := registry.Query{Search: asked.Get("search"), After: asked.Get("after")}
	if limit := asked.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > 500 {
			return 0, nil, malformed("limit is not a number from 1 to 500")
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

// register adds a client (RFC 7591, section 3.2.1) with a generated secret, or with
// the one whose hash it is given. A client that authenticates with something else gets
// no secret. It generates an id where none is given.
func (a *API) register(r *http.Request, e *Event) (int, any, error) {
	var asked record
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	switch {
	case asked.Secret != "" || asked.Secrets != nil:
		return 0, nil, invalidMetadata("client_secret: the issuer generates it")
	case asked.IssuedAt != 0:
		return 0, nil, invalidMetadata("client_id_issued_at: the issuer sets it")
	case asked.Version != 0:
		return 0, nil, invalidMetadata("version: a new client has none")
	}
	if asked.ID == "" {
		asked.ID = newClientID()
	}
	c, refused := asked.client()
	if refused != nil {
		return 0, nil, refused
	}
	if !c.UsesSecret() && asked.SecretHash == "" && asked.SecretID == "" {
		return a.registerWithout(r, e, asked, c)
	}
	expires := asked.secretExpiry()
	plain, secret, refused := secretRequest{asked.Label, expires, asked.SecretID, asked.SecretHash}.secret()
	if refused != nil {
		return 0, nil, refused
	}
	c.Secrets = []registry.Secret{secret}
	e.Target, e.SecretID = loggable(c.ID), loggable(secret.ID)
	c, err := a.manager.Register(r.Context(), c)
	if err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	answer := recordOf(c)
	answer.Secret, answer.SecretExpiresAt = plain, &expires
	return http.StatusCreated, answer, nil
}

// registerWithout adds a client that has no secret.
func (a *API) registerWithout(r *http.Request, e *Event, asked record, c registry.Client) (int, any, error) {
	switch {
	case asked.Label != "":
		return 0, nil, invalidMetadata("label: the client gets no secret, because it authenticates with something else: leave it out")
	case asked.secretExpiry() != 0:
		return 0, nil, invalidMetadata("client_secret_expires_at: the client gets no secret, because it authenticates with something else: leave it out")
	}
	e.Target = loggable(c.ID)
	c, err := a.manager.Register(r.Context(), c)
	if err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	return http.StatusCreated, recordOf(c), nil
}

// newClientID generates an id of 80 random bits, in characters that need no escaping.
func newClientID() string {
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(random))
}

func (a *API) get(r *http.Request, _ *Event) (int, any, error) {
	c, err := a.manager.Client(r.Context(), r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, recordOf(*c), nil
}

// update replaces the record (RFC 7592, section 2.2), but not the secrets.
// Disabling a client revokes its tokens too.
func (a *API) update(r *http.Request, _ *Event) (int, any, error) {
	var asked record
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	if id := r.PathValue("id"); asked.ID != "" && asked.ID != id {
		return 0, nil, invalidMetadata("client_id is not the one in the URL")
	}
	asked.ID = r.PathValue("id")
	switch {
	case asked.Secret != "":
		return 0, nil, invalidMetadata("client_secret: a PUT does not change it: POST to the client's /secrets generates another")
	case asked.SecretHash != "" || asked.SecretID != "":
		return 0, nil, invalidMetadata("client_secret_hash: a PUT does not change secrets: POST it to the client's /secrets/add")
	case asked.Label != "":
		return 0, nil, invalidMetadata("label: a PUT does not change secrets: POST it to the client's /secrets or /secrets/add")
	case asked.SecretExpiresAt != nil:
		return 0, nil, invalidMetadata("client_secret_expires_at: a PUT does not change it")
	}
	c, refused := asked.client()
	if refused != nil {
		return 0, nil, refused
	}
	if c.Version == 0 {
		return 0, nil, invalidMetadata("version is missing: it is that of the record the change was made to")
	}
	if asked.Secrets != nil || asked.IssuedAt != 0 {
		stored, err := a.manager.Client(r.Context(), asked.ID)
		if err != nil {
			return 0, nil, err
		}
		if refused := asked.unchanged(recordOf(*stored)); refused != nil {
			return 0, nil, refused
		}
	}
	c, err := a.manager.Update(r.Context(), c)
	if err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	return http.StatusOK, recordOf(c), nil
}

func (a *API) remove(r *http.Request, _ *Event) (int, any, error) {
	if err := readNothing(r); err != nil {
		return 0, nil, err
	}
	if err := a.manager.Delete(r.Context(), r.PathValue("id")); err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	return http.StatusOK, struct{}{}, nil
}

// revokeClient revokes every token that the client has been granted so far.
func (a *API) revokeClient(r *http.Request, _ *Event) (int, any, error) {
	id := r.PathValue("id")
	if err := readNothing(r); err != nil {
		return 0, nil, err
	}
	if _, err := a.manager.Client(r.Context(), id); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, struct{}{}, a.issuer.RevokeClient(r.Context(), id)
}

// revokeSecret revokes every token that the client has got with a secret. The secret
// stays valid.
func (a *API) revokeSecret(r *http.Request, e *Event) (int, any, error) {
	id, secret := secretOf(r, e)
	if err := readNothing(r); err != nil {
		return 0, nil, err
	}
	c, err := a.manager.Client(r.Context(), id)
	if err != nil {
		return 0, nil, err
	}
	if !slices.ContainsFunc(c.Secrets, func(s registry.Secret) bool { return s.ID == secret }) {
		return 0, nil, registry.ErrNotFound // a mistyped id must not look like a revocation
	}
	return http.StatusOK, struct{}{}, a.issuer.RevokeSecret(r.Context(), id, secret)
}

// revokeAll revokes every token that any client has been granted so far.
func (a *API) revokeAll(r *http.Request, e *Event) (int, any, error) {
	e.Target = "*"
	if err := readNothing(r); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, struct{}{}, a.issuer.RevokeAll(r.Context())
}
