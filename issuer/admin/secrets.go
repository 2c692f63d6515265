package admin

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// rotate generates a secret. The others end after overlap seconds, by default
// after one day. With revoke they end now, and the client's tokens are revoked.
func (a *API) rotate(r *http.Request, e *Event) (int, any, error) {
	asked := struct {
		Label   string   `json:"label"`
		Overlap *integer `json:"overlap"`
		Revoke  bool     `json:"revoke"`
	}{}
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	overlap := 24 * time.Hour
	if asked.Overlap != nil {
		if *asked.Overlap < 0 || *asked.Overlap > maxSeconds {
			return 0, nil, malformed("overlap is not a number of seconds up to a year")
		}
		overlap = time.Duration(*asked.Overlap) * time.Second
	} else if asked.Revoke {
		overlap = 0
	}
	rotation := registry.Rotation{Overlap: overlap, Label: asked.Label, Revoke: asked.Revoke}
	if asked.Revoke && overlap != 0 {
		return 0, nil, malformed("overlap is not 0: secrets whose tokens are revoked end at once")
	}
	if err := rotation.Validate(); err != nil {
		return 0, nil, err
	}
	id := r.PathValue("id")
	plain, err := a.manager.RotateSecret(r.Context(), id, rotation)
	if err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	e.SecretID, _ = registry.SecretID(plain)
	return http.StatusCreated, newSecret{ClientID: id, SecretID: e.SecretID, Secret: plain}, nil
}

// newSecret is the answer to a secret that was generated or imported.
type newSecret struct {
	ClientID  string  `json:"client_id"`
	SecretID  string  `json:"secret_id"`
	Secret    string  `json:"client_secret,omitempty"` // of a generated one, once
	ExpiresAt integer `json:"client_secret_expires_at"`
}

// secretRequest is what a request says about a new secret.
type secretRequest struct {
	Label     string  `json:"label"`
	ExpiresAt integer `json:"client_secret_expires_at"` // Unix seconds, 0 for never
	ID        string  `json:"secret_id"`
	Hash      string  `json:"client_secret_hash"`
}

// secret returns the secret to store: a generated one, or the one whose hash the request
// has. plain is empty for the latter.
func (asked secretRequest) secret() (plain string, secret registry.Secret, refused *refusal) {
	if asked.ExpiresAt < 0 || asked.ExpiresAt > lastSecond {
		return "", secret, malformed("client_secret_expires_at: write Unix seconds up to the year 9999, or 0 for never")
	}
	if asked.ID == "" && asked.Hash == "" {
		plain, secret = registry.GenerateSecret()
	} else if secret, refused = importSecret(asked.ID, asked.Hash); refused != nil {
		return "", secret, refused
	}
	secret.Label = asked.Label
	if asked.ExpiresAt != 0 {
		secret.ExpiresAt = time.Unix(int64(asked.ExpiresAt), 0).UTC()
	}
	if err := secret.Validate(); err != nil {
		return "", secret, invalidSecret(err)
	}
	return plain, secret, nil
}

// lastSecond is the end of the year 9999: the JSON form of a later time does not exist
// (RFC 3339, section 1).
const lastSecond = integer(253402300799)

// addSecret adds a secret and leaves the others as they are: a generated one, or the
// one whose hash it is given.
func (a *API) addSecret(r *http.Request, e *Event) (int, any, error) {
	var asked secretRequest
	if err := readJSON(r, &asked); err != nil {
		return 0, nil, err
	}
	plain, secret, refused := asked.secret()
	if refused != nil {
		return 0, nil, refused
	}
	id := r.PathValue("id")
	e.SecretID = loggable(secret.ID)
	if err := a.manager.AddSecret(r.Context(), id, secret); err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	return http.StatusCreated, newSecret{id, secret.ID, plain, asked.ExpiresAt}, nil
}

// importSecret returns a secret of a hash: with the id, which a generated secret carries,
// or of a hash that another system made.
func importSecret(id, hash string) (registry.Secret, *refusal) {
	switch _, plain := registry.SecretID(id); {
	case plain:
		return registry.Secret{}, malformed("secret_id: it is a secret, not the id of one")
	case id != "" && hash == "":
		return registry.Secret{}, malformed("secret_id: write it only with client_secret_hash")
	}
	var err error
	secret := registry.Secret{ID: id, Hash: hash}
	if id == "" {
		secret, err = registry.ImportSecret(hash)
	} else {
		err = secret.Validate()
	}
	if err != nil {
		return registry.Secret{}, invalidSecret(err)
	}
	return secret, nil
}

// invalidSecret names the member that is wrong with a secret.
func invalidSecret(err error) *refusal {
	var invalid *registry.InvalidError
	if !errors.As(err, &invalid) {
		return refusalOf(err)
	}
	problem, _, goNames := strings.Cut(invalid.Problem, ": write what GenerateSecret")
	if goNames {
		problem += ": write argon2id ($argon2id$v=19$…) or bcrypt ($2a$, $2b$ or $2y$)"
	}
	return invalidField(&registry.InvalidError{Field: invalid.Field, Problem: problem})
}

// removeSecret removes a secret. With the parameter revoke=true the tokens that
// the client got with it are revoked.
func (a *API) removeSecret(r *http.Request, e *Event) (int, any, error) {
	id, secret := secretOf(r, e)
	if err := readNothing(r); err != nil {
		return 0, nil, err
	}
	var revoke bool
	switch r.URL.Query().Get("revoke") {
	case "", "false":
	case "true":
		revoke = true
	default:
		return 0, nil, malformed("revoke is not true or false")
	}
	if err := a.manager.RemoveSecret(r.Context(), id, secret, revoke); err != nil {
		return 0, nil, err
	}
	a.sync(r.Context())
	return http.StatusOK, struct{}{}, nil
}

// secretOf returns the client and the secret that a path names.
func secretOf(r *http.Request, e *Event) (id, secret string) {
	id, secret = r.PathValue("id"), r.PathValue("secret")
	e.SecretID = loggable(secret)
	return id, secret
}
