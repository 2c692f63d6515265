package middleware

import "context"

// Event is one decision of one Require. It never holds a token or a secret, and
// is not for callers' eyes: Err says why.
type Event struct {
	// Status is the status answered, or 0 when the request was let in.
	Status int

	// Code is the answer's error code, as in [Error]. Empty when the request was
	// let in, and when no token was sent.
	Code string

	// Err is the refusal with its private cause behind Unwrap, or what a check of
	// [Bearer.RequireFunc] returned. Nil when the request was let in.
	Err error

	// ClientID and TokenID are the client_id and jti of a token that is valid in
	// all but, perhaps, its scopes. Empty for any other: what a token says before
	// it is verified is anybody's.
	ClientID, TokenID string
}

func (b *Bearer) report(ctx context.Context, v *verdict, status int, code string, err error) {
	if b.observe == nil {
		return
	}
	event := Event{Status: status, Code: code, Err: err}
	if v != nil {
		event.ClientID, event.TokenID = v.client.id, v.id
	}
	b.observe(ctx, event)
}
