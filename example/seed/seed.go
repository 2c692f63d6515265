// Package seed registers the clients that the environment of an example names.
package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
)

const demoID, adminID = "demo", "demo-admin"

// Demo is what Clients did about the clients demo and demo-admin.
type Demo struct {
	Secret      string // of demo, if it was made just now: shown this once
	AdminSecret string // of demo-admin, the same
	Known       bool   // they were made before, or by another replica at the same time
	Others      bool   // there are clients and none of them is demo, so none was made
}

// Clients registers the clients that the environment names, or updates their records:
//
//   - those of CLIENTS, a path to a JSON array of records in the form of package
//     admin; one without a client_secret keeps the secrets that it has;
//   - CLIENT_ID with CLIENT_SECRET, which may read and write orders, and CLIENT2_ID
//     with CLIENT2_SECRET, which may read them.
//
// A client that names no audience is for audience. A client that was disabled
// stays disabled: a restart undoes no decision of an operator. A client that the
// environment no longer names stays too: delete it with ./example/clients.
//
// If the environment names none and the store has none, Clients makes the client
// demo, which may read orders, and the client demo-admin, which may use the admin
// API at the audience adminAudience.
func Clients(ctx context.Context, store registry.Manager, audience, adminAudience string) (Demo, error) {
	records, err := named(audience)
	if err != nil {
		return Demo{}, err
	}
	for _, r := range records {
		if len(r.Client.Audiences) == 0 {
			r.Client.Audiences = []string{audience}
		}
		if err := makeSo(ctx, store, r); err != nil {
			return Demo{}, fmt.Errorf("client %q: %w", r.Client.ID, err)
		}
	}
	if len(records) > 0 {
		return Demo{}, nil
	}
	if clients, err := store.List(ctx, registry.Query{Limit: 1}); err != nil || len(clients) > 0 {
		if err == nil {
			_, err = store.Client(ctx, demoID)
		}
		if errors.Is(err, registry.ErrNotFound) {
			return Demo{Others: true}, nil
		}
		return Demo{Known: err == nil}, err
	}
	secret, err := registry.Ensure(ctx, store, registry.Client{ID: demoID, Scopes: []string{"orders:read"}, Audiences: []string{audience}})
	if err != nil {
		return Demo{}, err
	}
	adminSecret, err := registry.Ensure(ctx, store, registry.Client{ID: adminID, Scopes: []string{"clients:admin"}, Audiences: []string{adminAudience}})
	return Demo{Secret: secret, AdminSecret: adminSecret, Known: secret == "" || adminSecret == ""}, err
}

// named returns the clients that the environment names.
func named(audience string) (records []admin.Record, err error) {
	if path := os.Getenv("CLIENTS"); path != "" {
		doc, err := os.ReadFile(path)
		if err == nil {
			records, err = admin.ReadRecords(doc)
		}
		if err != nil {
			return nil, fmt.Errorf("CLIENTS: %w", err)
		}
	}
	for prefix, scopes := range map[string][]string{"CLIENT": {"orders:read", "orders:write"}, "CLIENT2": {"orders:read"}} {
		id, secret := os.Getenv(prefix+"_ID"), os.Getenv(prefix+"_SECRET")
		switch {
		case id == "" && secret == "":
			continue
		case id == "" || secret == "":
			return nil, fmt.Errorf("%[1]s_ID and %[1]s_SECRET: set both", prefix)
		case slices.ContainsFunc(records, func(r admin.Record) bool { return r.Client.ID == id }):
			return nil, fmt.Errorf("CLIENT_ID, CLIENT2_ID and CLIENTS name the client %q twice", id)
		}
		c := registry.Client{ID: id, Scopes: scopes, Audiences: []string{audience}}
		records = append(records, admin.Record{Client: c, Secret: secret})
	}
	return records, nil
}

// makeSo makes the client what the record says. Replicas that start together do
// this at the same time. A client that is right already is not written, so a replica
// also starts on a database that takes no writes, or while its clock is wrong.
func makeSo(ctx context.Context, store registry.Manager, r admin.Record) error {
	known, err := store.Client(ctx, r.Client.ID)
	if errors.Is(err, registry.ErrNotFound) {
		fresh := r.Client
		if r.Secret != "" {
			secret, err := registry.HashSecret(r.Secret)
			if err != nil {
				return err
			}
			fresh.Secrets = []registry.Secret{secret}
		}
		if _, err := store.Register(ctx, fresh); !errors.Is(err, registry.ErrConflict) {
			return err
		}
		known, err = store.Client(ctx, r.Client.ID) // another replica was first
	}
	if err != nil {
		return err
	}
	changed := r.Client
	changed.Version, changed.Disabled = known.Version, changed.Disabled || known.Disabled
	if !same(known, &changed) {
		if _, err := store.Update(ctx, changed); err != nil && !errors.Is(err, registry.ErrConflict) {
			return err // at a conflict another replica makes it so
		}
	}
	if r.Secret == "" {
		return nil
	}
	return onlySecret(ctx, store, known, r.Secret)
}

// same reports whether two records of a client say the same, but for secrets and
// what the store sets.
func same(a, b *registry.Client) bool {
	x, errX := settings(a)
	y, errY := settings(b)
	return errX == nil && errY == nil && x == y
}

// settings returns what a record says, as JSON, in which an empty list is left out.
func settings(c *registry.Client) (string, error) {
	c = c.Clone()
	c.Secrets, c.Version, c.CreatedAt, c.UpdatedAt = nil, 0, time.Time{}, time.Time{}
	text, err := json.Marshal(c)
	return string(text), err
}

// onlySecret makes the secret the client's only one.
func onlySecret(ctx context.Context, store registry.Manager, known *registry.Client, plain string) error {
	kept := slices.IndexFunc(known.Secrets, func(s registry.Secret) bool { return s.ExpiresAt.IsZero() && s.Matches(plain) })
	if kept < 0 {
		hashed, err := registry.HashSecret(plain)
		if err != nil {
			return err
		}
		if err := store.AddSecret(ctx, known.ID, hashed); err != nil {
			return err
		}
	}
	for i, s := range known.Secrets {
		if i == kept {
			continue
		}
		if err := store.RemoveSecret(ctx, known.ID, s.ID, false); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
	}
	return nil
}
