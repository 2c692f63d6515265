package middleware

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
		Keys, Revocations, Replays string `json:",omitempty"`
	}{plain(s), event.Text(s.Keys), event.Text(s.Revocations), event.Text(s.Replays)})
}
