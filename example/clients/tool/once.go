package tool

import (
	"errors"
	"flag"
)

// repeated is a flag that may be given several times: each value is added.
type repeated func(value string) error

// String returns no default.
func (repeated) String() string { return "" }

// Set adds a value.
func (r repeated) Set(value string) error { return r(value) }

// once makes a flag refuse a second value, which would replace the first one without a
// word. Flags that are repeated stay as they are.
func once(f *flag.Flag) {
	if _, ok := f.Value.(repeated); !ok {
		f.Value = &single{Value: f.Value}
	}
}

// single is a flag that may be given once.
type single struct {
	flag.Value

	given bool
}

var errGivenTwice = errors.New("the flag is given twice: write it once, a list with commas between (scopes: spaces)")

// Set takes the first value.
func (s *single) Set(value string) error {
	if s.given {
		return errGivenTwice
	}
	s.given = true
	return s.Value.Set(value)
}

// IsBoolFlag reports whether the flag needs no value. Package flag asks for it.
func (s *single) IsBoolFlag() bool {
	b, ok := s.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
