package sqlstore

import "encoding/json"

// MarshalJSON writes errors as texts and leaves out those that are nil. The texts name
// hosts and paths, so they are for operators only.
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
