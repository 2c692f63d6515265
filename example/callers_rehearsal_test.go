//go:build rehearsal

package main

import (
	"testing"
	"time"
)

// TestCallersThroughAMinuteOfKills is 50 processes that call an API for a minute, while
// their issuer is killed and started again and again. No call fails.
//
//	go test -tags rehearsal -run TestCallersThroughAMinuteOfKills -v ./example
func TestCallersThroughAMinuteOfKills(t *testing.T) {
	c := callThroughKills(t, 50, "15s", time.Minute, 1500*time.Millisecond)
	if c.kills < 10 || c.total.calls < 5000 || c.total.tokenRequests < 300 || c.outages < 10 || c.refused < 20 || c.keys == 0 {
		t.Error("too little happened to prove anything")
	}
}
