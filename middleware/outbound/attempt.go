package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// attempt is what one token request authenticates and proves with.
type attempt struct {
	secret    string        // of Config.Secret
	assertion string        // of Config.Assertion
	identity  *identity     // of Config.Certificate
	proof     string        // of Config.DPoP
	nonce     string        // in the proof
	offset    time.Duration // of this clock to the server's, as the proof has it
	shown     string        // what its file is told of, if it was read from one
}

// noun is what the client authenticates with.
func (a *attempt) noun() string {
	switch {
	case a.secret != "":
		return "secret"
	case a.assertion != "":
		return "assertion"
	}
	return "certificate"
}

// credentials are read for each token request.
type credentials struct {
	config       *Config
	secrets      callout
	assertions   callout
	certificates callout
}

func newCredentials(c *Config) credentials {
	return credentials{
		config:       c,
		secrets:      callout{field: "Config.Secret", noun: "secret"},
		assertions:   callout{field: "Config.Assertion", noun: "assertion"},
		certificates: callout{field: "Config.Certificate", noun: "certificate"},
	}
}

// uses tell afterwards which credentials were used. The certificate has its own if it is
// not what the client authenticates with.
type uses struct{ client, certificate secretUse }

// warning is what went wrong without a failure.
func (u *uses) warning() error { return cmp.Or(u.client.warning, u.certificate.warning) }

// read reads the credentials of one request.
func (f *fetcher) read(ctx context.Context, u *uses) (a attempt, err error) {
	c := f.config
	authenticates := &u.client
	switch {
	case c.Secret != nil:
		a.secret, err = c.Secret.text(ctx, &f.credentials.secrets, &u.client)
		a.shown = a.secret
	case !c.Assertion.zero():
		a.assertion, err = c.Assertion.text(ctx, &f.credentials.assertions, &u.client, assertionRequest{
			clientID: c.ClientID, audience: cmp.Or(c.AssertionAudience, c.Issuer), now: f.serverTime(),
		})
		a.shown = a.assertion
	}
	if err != nil {
		return attempt{}, unreadable(err)
	}
	if c.Certificate == nil {
		return a, nil
	}
	if c.Secret != nil || !c.Assertion.zero() {
		authenticates = &u.certificate
	}
	certificate, err := callWithUse(ctx, &f.credentials.certificates, authenticates, c.Certificate)
	if err == nil {
		a.identity, err = f.identify(certificate)
	}
	if err != nil {
		return attempt{}, unreadable(err)
	}
	if authenticates == &u.client {
		a.shown = u.client.secret
	}
	return a, nil
}

// unreadable is the error of a credential that cannot be read. The end of the fetch's
// context is not the end of the caller's.
func unreadable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = errors.New(err.Error())
	}
	return unavailable(secretError{err})
}

// former returns the attempt with the credential that the server accepted before.
func (f *fetcher) former(a attempt, text string) (attempt, error) {
	a.shown = text
	switch {
	case a.secret != "":
		a.secret = text
	case a.assertion != "":
		a.assertion = text
	default:
		certificate, err := parsePair(text)
		if err != nil {
			return attempt{}, fmt.Errorf("outbound: %w", err)
		}
		if a.identity, err = f.identify(certificate); err != nil {
			return attempt{}, err
		}
	}
	return a, nil
}

// clockTolerance is by how much the clock here may differ from the server's before an
// assertion or a proof is signed by the server's.
const clockTolerance = 5 * time.Second

// serverTime is the time that an assertion has. Servers refuse one of the future.
func (f *fetcher) serverTime() time.Time { return timeAt(time.Duration(f.offset.Load())) }

// timeAt returns the time by the clock of a server.
func timeAt(offset time.Duration) time.Time {
	now := time.Now()
	if offset.Abs() > clockTolerance {
		return now.Add(-offset)
	}
	return now
}
