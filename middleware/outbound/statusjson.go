package outbound

import (
	"encoding/json"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// MarshalJSON writes the error as its text, the offset as a duration with its unit, and
// omits a nil error and zero times. The text names hosts and paths: show it to operators
// only.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	return json.Marshal(struct {
		plain
		ObtainedAt  time.Time `json:",omitzero"`
		RefreshAt   time.Time `json:",omitzero"`
		UsableUntil time.Time `json:",omitzero"`
		ExpiresAt   time.Time `json:",omitzero"`
		NextTry     time.Time `json:",omitzero"`
		LastError   string    `json:",omitempty"`
		ClockOffset string    `json:"ClockOffset"`
	}{plain(s), s.ObtainedAt, s.RefreshAt, s.UsableUntil, s.ExpiresAt, s.NextTry, event.Text(s.LastError), s.ClockOffset.String()})
}
