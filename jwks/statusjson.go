package jwks

import (
	"encoding/json"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// MarshalJSON writes errors as their texts, and omits nil errors. The texts name hosts
// and paths: show them to operators only.
func (s KeyringStatus) MarshalJSON() ([]byte, error) {
	type plain KeyringStatus
	return json.Marshal(struct {
		plain
		WriteError string `json:",omitempty"`
	}{plain(s), event.Text(s.WriteError)})
}

// MarshalJSON writes the error as its text.
func (p KeyringProblem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Reason event.Reason
		Since  time.Time
		Err    string
	}{p.Reason, p.Since, event.Text(p.Err)})
}

// MarshalJSON writes errors as their texts, and omits nil errors. The texts name hosts
// and paths: show them to operators only.
func (s RemoteStatus) MarshalJSON() ([]byte, error) {
	type plain RemoteStatus
	type skipped struct{ KeyID, Err string }
	var entries []skipped
	for _, e := range s.Skipped {
		entries = append(entries, skipped{e.KeyID, event.Text(e.Err)})
	}
	return json.Marshal(struct {
		plain
		Skipped   []skipped
		LastError string `json:",omitempty"`
	}{plain(s), entries, event.Text(s.LastError)})
}
