package issuer

import "encoding/json"

// MarshalJSON writes errors as their texts, and leaves out those that are nil.
// Texts name hosts and paths: they are for operators.
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
