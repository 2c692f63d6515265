package outbound

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"
)

// In JSON, durations have a unit, errors are texts, and what does not apply is left out.
func TestStatusJSON(t *testing.T) {
	members := func(s Status) map[string]any {
		t.Helper()
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := map[string]any{
		"ClientID": "", "Endpoint": "", "Valid": false, "Failed": 0.0, "ClockOffset": "0s", "Fetches": 0.0, "Failures": 0.0, "Replays": 0.0, "Nonces": 0.0,
	}
	if got := members(Status{}); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	got := members(Status{ClockOffset: 395690589, LastError: errors.New("down"), ObtainedAt: at, RefreshAt: at, UsableUntil: at, ExpiresAt: at, NextTry: at})
	if got["ClockOffset"] != "395.690589ms" || got["LastError"] != "down" || got["NextTry"] != "2026-11-26T12:00:00Z" {
		t.Errorf("%v", got)
	}
	for field := range reflect.TypeFor[Status]().Fields() {
		if _, ok := got[field.Name]; !ok {
			t.Errorf("%s is missing in %v", field.Name, slices.Sorted(maps.Keys(got)))
		}
	}
}
