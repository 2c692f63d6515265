package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
)

// timetable says what the signing keys will do in the time ahead.
func (c *check) timetable(ctx context.Context, store jwks.KeyStore, clients int) {
	if store == nil {
		return
	}
	bound, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	blob, err := store.Load(bound)
	switch {
	case err != nil:
		c.add(Wrong, "timetable", fmt.Sprintf("The signing keys cannot be read: %v.", err), "Do what the error says. New keys would make all tokens invalid, so none are made.")
		return
	case blob == nil && clients > 0:
		c.add(Wrong, "timetable", "There are clients, and no signing keys: were the keys lost, or does a setting name another place?",
			"Restore them, or start the issuer: it makes new ones, and tokens from before are refused.")
		return
	case blob == nil:
		c.add(Notice, "timetable", "There are no signing keys yet.", "Start the issuer: it makes them.")
		return
	}
	policy := c.Policy
	policy.Observe, policy.Quiet = nil, true
	keys, err := jwks.Open(bound, readOnly{store}, policy)
	if err != nil {
		c.add(Wrong, "timetable", fmt.Sprintf("The signing keys cannot be used: %v.", err), "Do what the error says. An issuer would not start.")
		return
	}
	defer keys.Close()
	status := keys.Status()
	for _, p := range status.Problems {
		switch {
		case errors.Is(p.Err, errReadOnly):
		case p.Reason == event.ClockOff: // also when no issuer has run for more than a day
			c.add(Notice, "timetable", fmt.Sprintf("%v.", p.Err), "Nothing, if the clock is right and no issuer has run for a day. See .github/docs/clocks.md.")
		default:
			c.add(Wrong, "timetable", fmt.Sprintf("%v.", p.Err), "See .github/docs/faults.md.")
		}
	}
	if status.SigningKey == "" {
		c.add(Wrong, "timetable", "No key may sign now.", "Start the issuer: it makes keys. If it runs, see its log.")
		return
	}
	c.ahead(status)
}

// ahead says what happens next.
func (c *check) ahead(s jwks.KeyringStatus) {
	now := time.Now()
	end := now.Add(c.Ahead)
	c.goodf("timetable", "The key %s signs. %d %s published for earlier tokens.", s.SigningKey, len(s.RetainedKeys), plural(len(s.RetainedKeys), "key is", "keys are"))
	if s.NextSigns.IsZero() { // an issuer that runs has always planned the next key
		c.add(Notice, "timetable", "The next key should have been planned by now. An issuer does that when it runs.",
			"Run an issuer. If one does run, its key store cannot be written: see its log.")
		return
	}
	type step struct {
		at   time.Time
		what string
	}
	var steps []step
	for _, planned := range []step{
		{s.NextSigns, fmt.Sprintf("the key %s takes over", s.NextKey)},
		{s.NextWrite, "a next key is announced, for which the key store must take a write"},
	} {
		if planned.at.After(now) && planned.at.Before(end) {
			steps = append(steps, planned)
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	if len(steps) == 0 {
		next := "."
		if !s.NextSigns.IsZero() {
			next = fmt.Sprintf(": the key %s takes over on %s.", s.NextKey, s.NextSigns.UTC().Format(time.RFC3339))
		}
		c.goodf("timetable", "Nothing changes in the next %d days%s", int(c.Ahead/day), next)
		return
	}
	var said []string
	for _, step := range steps {
		said = append(said, fmt.Sprintf("%s: %s", step.at.UTC().Format(time.RFC3339), step.what))
	}
	c.goodf("timetable", "In the next %d days: %s.", int(c.Ahead/day), strings.Join(said, "; "))
}
