package service

import (
	"context"
	"errors"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/jwks"
)

// Issuer is an issuer with its keys and its storage, by the environment's
// settings.
type Issuer struct {
	*issuer.Issuer
	Keys    *jwks.Keyring
	Storage *Storage
}

// NewIssuer opens the storage and makes the issuer.
func NewIssuer(ctx context.Context, url string) (_ *Issuer, err error) {
	policy, err1 := KeyPolicy()
	ttl, err2 := TokenTTL()
	attempts, err3 := FailedAttempts()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	i := &Issuer{}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	if i.Storage, err = OpenStorage(opening); err != nil {
		return nil, err
	}
	if i.Keys, err = jwks.Open(opening, i.Storage.Keys, policy); err != nil {
		return nil, err
	}
	i.Issuer, err = issuer.New(issuer.Config{
		Issuer:          url,
		Keys:            i.Keys,
		Store:           i.Storage.Store,
		TokenTTL:        ttl,
		FailedAttempts:  attempts,
		ImportedSecrets: true, // CLIENT_SECRET may be anything
	})
	return i, err
}

// Close closes all of it, in the order in which one needs the other.
func (i *Issuer) Close() error {
	var err error
	if i.Issuer != nil {
		err = i.Issuer.Close()
	}
	if i.Keys != nil {
		err = errors.Join(err, i.Keys.Close())
	}
	if i.Storage != nil {
		err = errors.Join(err, i.Storage.Close())
	}
	return err
}
