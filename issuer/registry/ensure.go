package registry

import (
	"context"
	"errors"
	"fmt"
)

// Ensure registers the client with a generated secret and returns that secret. Show
// it to the client's owner once. A client that authenticates with something else
// ([Client.UsesSecret]) is registered without a secret, and Ensure returns "".
//
// When a client with the id exists, Ensure leaves it as it is and returns "". Call it at
// each start. Of replicas that call it at the same time, one gets the secret.
//
// Not checked: that an existing client equals c. [Manager].Update changes it.
func Ensure(ctx context.Context, m Manager, c Client) (secret string, err error) {
	switch {
	case m == nil:
		return "", errors.New("registry: Ensure needs a Manager: write the store that sqlite.Open returned")
	case len(c.Secrets) > 0:
		return "", invalid("Client.Secrets", "leave it empty, as Ensure generates the secret, or call Register")
	}
	switch _, err := m.Client(ctx, c.ID); {
	case err == nil:
		return "", nil
	case !errors.Is(err, ErrNotFound):
		return "", fmt.Errorf("registry: ensuring client %q: %w", c.ID, err)
	}
	if c.UsesSecret() {
		var stored Secret
		secret, stored = GenerateSecret()
		c.Secrets = []Secret{stored}
	}
	switch _, err := m.Register(ctx, c); {
	case errors.Is(err, ErrConflict):
		return "", nil // another replica was faster
	case err != nil:
		return "", fmt.Errorf("registry: ensuring client %q: %w", c.ID, err)
	}
	return secret, nil
}
