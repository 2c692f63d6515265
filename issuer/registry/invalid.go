package registry

import (
	"errors"
	"fmt"
)

// ErrInvalid is what [errors.Is] finds in every error about an invalid argument. A
// retry does not help. [errors.As] finds the field in an [*InvalidError].
var ErrInvalid = errors.New("registry: invalid")

// InvalidError says which field of an argument is wrong, and what to write.
type InvalidError struct {
	Field   string // as in Go, such as "Client.Name" or "Secret.Hash"
	Problem string // what is wrong with it
}

// Error names the field and the problem.
func (e *InvalidError) Error() string {
	if e == nil || e.Field == "" && e.Problem == "" {
		return ErrInvalid.Error()
	}
	return "registry: " + e.Field + ": " + e.Problem
}

// Is reports whether the target is [ErrInvalid].
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
