package issuer

import "encoding/json"

// MarshalJSON writes errors as texts, and leaves out nil errors. The texts may name hosts
// and paths: show them to operators only.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	return json.Marshal(struct {
		plain
		FollowError, ClockError, RecordError string `json:",omitempty"`
	}{plain(s), errorText(s.FollowError), errorText(s.ClockError), errorText(s.RecordError)})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
