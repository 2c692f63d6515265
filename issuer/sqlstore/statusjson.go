package sqlstore

import "encoding/json"

// MarshalJSON writes errors as their texts, and leaves out those that are nil.
// Texts name hosts and paths: they are for operators.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	return json.Marshal(struct {
		plain
		LastError, WriteError, FileError string `json:",omitempty"`
	}{plain(s), text(s.LastError), text(s.WriteError), text(s.FileError)})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
