package sqlstore

import (
	"encoding/json"

	"github.com/echo-m2m/m2m/jwks/event"
)

// MarshalJSON writes errors as their texts, and omits nil errors. The texts name hosts
// and paths: show them to operators only.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	return json.Marshal(struct {
		plain
		LastError, WriteError, FileError string `json:",omitempty"`
	}{plain(s), event.Text(s.LastError), event.Text(s.WriteError), event.Text(s.FileError)})
}
