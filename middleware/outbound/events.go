package outbound

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// trouble is why the latest fetch failed. Empty after a success.
type trouble event.Reason

// troubleOf tells what failed. It is called with the lock.
func (c *cell) troubleOf(err error, now time.Time) trouble {
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[secretError](err); ok {
		return trouble(event.SecretUnreadable)
	}
	if e, ok := errors.AsType[*Error](err); ok && !errors.Is(e, ErrUnavailable) {
		switch {
		case e.Code == "invalid_scope":
			return trouble(event.InvalidScope)
		case e.Code == "invalid_target":
			return trouble(event.InvalidTarget)
		case e.Code == "invalid_client", e.Code == "unauthorized_client", e.Code == "invalid_dpop_proof", e.Code == "use_dpop_nonce", e.Status == http.StatusUnauthorized:
			return trouble(event.CredentialRefused)
		}
	}
	if c.held.Load().usable(now) {
		return trouble(event.FetchFailed)
	}
	return trouble(event.TokenUnavailable)
}

func (c *cell) event(f *flight, is trouble, err error) Event {
	e := Event{
		Op:       event.OpFetchToken,
		Reason:   event.Reason(is),
		ClientID: c.family.config.ClientID,
		Audience: slices.Clone(c.want.resources), // the observer may change what it gets
		Scopes:   slices.Clone(c.want.scopes),
		URL:      c.family.fetcher.at(),
		Duration: time.Since(f.began),
		Err:      err,
	}
	if refused, ok := errors.AsType[*Error](err); ok {
		e.Status, e.Code = refused.Status, refused.Code
	}
	return e
}

// replayed reports that a request is sent again. It is of one request, so it is not
// logged.
func (c *cell) replayed(ctx context.Context, to *url.URL) {
	c.family.replays.Add(1)
	if observer := c.family.config.Observe; observer != nil {
		observe(ctx, observer, Event{
			Op:       event.OpReplay,
			Reason:   event.TokenRefused,
			Status:   http.StatusUnauthorized,
			Code:     "invalid_token",
			ClientID: c.family.config.ClientID,
			Audience: slices.Clone(c.want.resources),
			URL:      originOf(to).String(), // the path may hold secrets of the app
		})
	}
}

// proveAgain reports that a request is sent again with another proof: with the nonce that
// the API asked for, or with the time of the API.
func (t *transport) proveAgain(r *http.Request, refusal *http.Response, code string) {
	closeUnread(refusal)
	f := t.source.family
	f.nonced.Add(1)
	if observer := f.config.Observe; observer != nil {
		observe(r.Context(), observer, Event{
			Op:       event.OpReplay,
			Status:   http.StatusUnauthorized,
			Code:     code,
			ClientID: f.config.ClientID,
			Audience: slices.Clone(t.source.want.resources),
			URL:      originOf(r.URL).String(),
		})
	}
}
