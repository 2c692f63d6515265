//go:build rehearsal

package main

import (
	"testing"
	"time"
)

// TestCallersThroughAMinuteOfKills is 50 callers of an API for a minute, by real
// processes, while their issuer is killed and started again and again. No call fails.
//
//	go test -tags rehearsal -run TestCallersThroughAMinuteOfKills -v ./example
func TestCallersThroughAMinuteOfKills(t *testing.T) {
	c := callThroughKills(t, time.Minute, "15s", 1500*time.Millisecond)
	if c.kills < 10 || c.calls.Load() < 5000 || c.fetches < 300 || c.failures < 20 {
		t.Error("too little happened to prove anything")
	}
}
