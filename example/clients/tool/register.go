package tool

import (
	"context"
	"errors"
	"fmt"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// adder adds clients of files, with their secrets.
type adder struct {
	s    *Session
	file *secretsFile // nil where none was named
}

func (s *Session) newAdder(path string) (*adder, error) {
	a := &adder{s: s}
	if path == "" {
		return a, nil
	}
	file, err := openSecrets(path)
	a.file = file
	return a, err
}

func (a *adder) close() {
	if a.file != nil {
		a.file.close()
	}
}

// prepare puts the secrets that these clients need into the file. Only then may add
// be called for them.
func (a *adder) prepare(clients []*desired) error {
	var ids []string
	for _, d := range clients {
		if d.wantsSecret() {
			ids = append(ids, d.client.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if a.file == nil {
		return fmt.Errorf("%d clients, such as %q, need a generated secret: write -secrets FILE, to which the secrets go", len(ids), ids[0])
	}
	secrets, err := a.file.secrets(ids)
	if err != nil {
		return fmt.Errorf("writing the secrets: %w", err)
	}
	for _, d := range clients {
		if d.wantsSecret() {
			d.secret = secrets[d.client.ID]
		}
	}
	return nil
}

// add adds the client, in one step with its secrets.
func (a *adder) add(ctx context.Context, d *desired) error {
	c := d.client.Clone()
	if d.secret != "" {
		secret, err := registry.HashSecret(d.secret)
		if err != nil {
			return err
		}
		c.Secrets = append(c.Secrets, secret)
	}
	_, err := a.s.Register(ctx, *c)
	return err
}

// missing returns the secrets of the file that the client lacks. A chosen secret can
// be compared only where the hashes are known, which the admin API does not show.
func (d *desired) missing(stored *registry.Client) (missing []registry.Secret, compared bool, err error) {
	have, unknown := map[string]bool{}, false
	for _, s := range stored.Secrets {
		have[s.ID] = true
		unknown = unknown || s.Hash == ""
	}
	for _, s := range d.client.Secrets {
		if !have[s.ID] {
			missing = append(missing, s)
		}
	}
	if d.secret == "" {
		return missing, true, nil
	}
	id, generated := registry.SecretID(d.secret)
	switch {
	case generated && have[id]:
		return missing, true, nil
	case !generated && unknown:
		return missing, false, nil
	case !generated:
		for _, s := range stored.Secrets {
			if !s.Generated() && s.Matches(d.secret) {
				return missing, true, nil
			}
		}
	}
	secret, err := registry.HashSecret(d.secret)
	return append(missing, secret), true, err
}

// refusedOne reports whether an error is about one client. Others mean that the
// storage cannot go on.
func refusedOne(err error) bool {
	return errors.Is(err, registry.ErrConflict) || errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrInvalid)
}
