package tool

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
)

// Verb is one command of the tool.
type Verb struct {
	Group   string // under which the overview lists it
	Name    string
	Args    string // of the usage line
	Summary string // of the overview: one line
	Text    string // of its own help
	Example string // commands, one a line

	Takes    []string // what its arguments are called
	Optional bool     // the arguments may be left out
	Hint     string   // what to write instead of an argument

	NoStorage bool // it opens no storage
	NoJSON    bool // it has no -json

	// Setup adds the flags and returns what to do when they are read.
	Setup func(flags *flag.FlagSet) Action
}

// Action does what a verb is for.
type Action func(ctx context.Context, s *Session, args []string) error

// Session is one run of a verb.
type Session struct {
	Clients
	Place    string // where the clients are
	JSON     bool   // answers are JSON
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
}

// flags returns the flags of the verb.
func (v Verb) flags(s *Session) (flags *flag.FlagSet, api *string, do Action) {
	flags = flag.NewFlagSet(v.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	api = new(string)
	if v.Setup != nil {
		do = v.Setup(flags)
	}
	if !v.NoStorage {
		flags.StringVar(api, "api", "", "manage the clients through the admin API at `URL`, instead of the database")
	}
	if !v.NoJSON {
		flags.BoolVar(&s.JSON, "json", false, "answer in JSON")
	}
	return flags, api, do
}

// say reports a change and where it was made. With -json it is the answer instead.
func (s *Session) say(answer any, format string, args ...any) error {
	if s.JSON {
		return s.answer(answer)
	}
	_, err := fmt.Fprintf(s.Out, s.Place+": "+format+"\n", args...)
	return err
}

// answer writes JSON.
func (s *Session) answer(v any) error {
	encoder := json.NewEncoder(s.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// done is the answer of a verb that changes one client.
type done struct {
	ID       string `json:"client_id,omitempty"`
	SecretID string `json:"secret_id,omitempty"`
	Secret   string `json:"client_secret,omitempty"`
	Done     string `json:"done"` // what was done, such as "disabled"
	Place    string `json:"place"`
}
