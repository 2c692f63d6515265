package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// TestStatusJSON is for a page of an operator's: errors are texts in it, as
// encoding/json writes most errors as {}.
func TestStatusJSON(t *testing.T) {
	fails := func(what string) error { return errors.New("why-" + what) }
	keys := jwks.KeyringStatus{SigningKey: "kid1", WriteError: fails("write"), Problems: []jwks.KeyringProblem{{Reason: event.KeysNotWritten, Err: fails("problem")}}}
	for _, tt := range []struct {
		status any
		says   []string
	}{
		{sqlstore.Status{Schema: 7, LastError: fails("last"), WriteError: fails("write"), FileError: fails("file")}, []string{`"Schema":7`, "why-last", "why-write", "why-file"}},
		{issuer.Status{Sequence: 7, FollowError: fails("follow"), ClockError: fails("clock"), RecordError: fails("record"), Keys: keys},
			[]string{`"Sequence":7`, "why-follow", "why-clock", "why-record", "why-write", "why-problem", "kid1"}},
		{bearer.Status{Cached: 7, Keys: fails("keys"), Revocations: fails("revocations")}, []string{`"Cached":7`, "why-keys", "why-revocations"}},
		{keys, []string{"kid1", "why-write", "why-problem", "keys_not_written"}},
		{&jwks.RemoteStatus{Keys: 7, LastError: fails("last"), Skipped: []jose.Skipped{{KeyID: "odd", Err: fails("skip")}}}, []string{`"Keys":7`, "why-last", "odd", "why-skip"}},
	} {
		doc, err := json.Marshal(tt.status)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.says {
			if !strings.Contains(string(doc), want) {
				t.Errorf("%T lacks %s: %s", tt.status, want, doc)
			}
		}
	}
	for _, zero := range []any{sqlstore.Status{}, issuer.Status{}, bearer.Status{}, jwks.KeyringStatus{}, jwks.KeyringProblem{}, jwks.RemoteStatus{}} {
		if doc, err := json.Marshal(zero); err != nil || strings.Contains(string(doc), "Error\"") {
			t.Errorf("%T: %s, %v", zero, doc, err)
		}
	}
}
