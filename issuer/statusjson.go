package issuer

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
		FollowError, ClockError, RecordError string `json:",omitempty"`
	}{plain(s), event.Text(s.FollowError), event.Text(s.ClockError), event.Text(s.RecordError)})
}
