package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/issuer"
)

// openClients reads the clients kept in a file, adds those the environment
// names, and writes the file. With none at all it makes the client demo; then
// welcome is the one chance to see its secret.
func openClients(path, issuerURL, audience string) (store *issuer.Memory, welcome string, err error) {
	var kept []issuer.Client
	switch content, err := os.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, "", err
	default:
		if err := json.Unmarshal(content, &kept); err != nil {
			return nil, "", fmt.Errorf("%s is damaged (%w): restore it, or remove it to start anew", path, err)
		}
	}
	if store, err = issuer.NewMemory(kept...); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	put := func(c issuer.Client) error {
		c.Audiences = []string{audience}
		for i := range kept {
			if kept[i].ID == c.ID {
				kept[i] = c
				return store.Put(c)
			}
		}
		kept = append(kept, c)
		return store.Put(c)
	}
	named := false
	for _, prefix := range []string{"CLIENT", "CLIENT2"} {
		id, plain := os.Getenv(prefix+"_ID"), os.Getenv(prefix+"_SECRET")
		if id == "" && plain == "" {
			continue
		}
		secret, err := issuer.HashSecret(plain)
		if err != nil {
			return nil, "", fmt.Errorf("%s_SECRET: %w", prefix, err)
		}
		c := issuer.Client{ID: id, Secrets: []issuer.Secret{secret}, Scopes: []string{"orders:read", "orders:write"}}
		if prefix == "CLIENT2" {
			c.Scopes = c.Scopes[:1]
		}
		if err := put(c); err != nil {
			return nil, "", fmt.Errorf("%s_ID: %w", prefix, err)
		}
		named = true
	}
	switch {
	case named:
	case len(kept) > 0:
		// A restart: what was printed before still holds. The audience may not.
		for _, c := range kept {
			if err := put(c); err != nil {
				return nil, "", err
			}
		}
		welcome = fmt.Sprintf("clients are those of the first start (%s); remove that file to start anew\n", path)
	default:
		plain, secret := issuer.GenerateSecret()
		if err := put(issuer.Client{ID: "demo", Secrets: []issuer.Secret{secret}, Scopes: []string{"orders:read", "orders:write"}}); err != nil {
			return nil, "", err
		}
		welcome = session(issuerURL, plain)
	}
	content, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return nil, "", err
	}
	return store, welcome, replaceFile(path, content)
}

// replaceFile writes the file whole, also when several processes do.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "clients.*.tmp") // made 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

func session(issuerURL, secret string) string {
	return fmt.Sprintf(`
The client "demo" was made. Its secret is shown this once. Paste this in another terminal:

  # 1. get a token
  TOKEN=$(curl -s %[1]s/token -d grant_type=client_credentials \
    -d client_id=demo -d client_secret=%[2]s \
    | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

  # 2. call the API with it
  curl -s %[1]s/v1/orders -H "Authorization: Bearer $TOKEN"
  curl -s %[1]s/v1/whoami -H "Authorization: Bearer $TOKEN"

  # 3. be refused without it
  curl -i %[1]s/v1/orders

`, issuerURL, secret)
}
