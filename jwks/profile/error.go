package profile

import (
	"fmt"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Error is why a token was refused. Its text is for logs: it quotes claims, and never
// the token.
type Error struct {
	Reason  event.Reason // such as event.WrongAudience
	Profile string       // the Name of the profile
	Err     error        // what is wrong
}

// Error returns the text.
func (e *Error) Error() string { return fmt.Sprintf("profile: %s: %v", e.Profile, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// refuse makes the Error of a token that p refuses.
func (p *Profile) refuse(reason event.Reason, format string, args ...any) *Error {
	return p.refused(reason, fmt.Errorf(format, args...))
}

func (p *Profile) refused(reason event.Reason, err error) *Error {
	name := "own"
	if p != nil && p.Name != "" {
		name = p.Name
	}
	return &Error{Reason: reason, Profile: name, Err: err}
}
