package middleware

import "encoding/json"

// MarshalJSON writes errors as their texts, and leaves out those that are nil.
// Texts name hosts and paths: they are for operators.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	return json.Marshal(struct {
		plain
		Keys, Revocations string `json:",omitempty"`
	}{plain(s), errorText(s.Keys), errorText(s.Revocations)})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
