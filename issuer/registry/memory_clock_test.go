package registry

import (
	"testing"
	"time"
)

// A clock that jumps drops nothing. When it is right again everything is there.
func TestMemoryClockJumps(t *testing.T) {
	for _, by := range []time.Duration{2 * time.Hour, -2 * time.Hour, 40 * 24 * time.Hour, -40 * 24 * time.Hour} {
		_, passing := GenerateSecret()
		passing.ExpiresAt = time.Now().Add(time.Hour)
		m, err := NewMemory(Client{ID: "c", Secrets: []Secret{passing}})
		if err != nil {
			t.Fatal(err)
		}
		until := time.Now().Add(time.Hour)
		first, err := m.Once(t.Context(), "s", "i", until)
		if err != nil || !first {
			t.Fatal(first, err)
		}
		if _, err := m.Revoke(t.Context(), Change{Kind: TokenRevoked, TokenID: "x", ExpiresAt: until}); err != nil {
			t.Fatal(err)
		}
		for _, shift := range []time.Duration{by, 0} {
			m.clock.shift = shift
			if first, err := m.Once(t.Context(), "s", "i", until.Add(shift)); err != nil || first {
				t.Errorf("%v: the replay record is gone: %v, %v", by, first, err)
			}
			if page, err := m.Changes(t.Context(), 0); err != nil || len(page.Changes) == 0 || page.Changes[0].TokenID != "x" {
				t.Errorf("%v: the revocation is gone: %+v, %v", by, page, err)
			}
			if _, err := m.RotateSecret(t.Context(), "c", Rotation{Overlap: 30 * 24 * time.Hour}); err != nil {
				t.Error(err)
			}
			if c, err := m.Client(t.Context(), "c"); err != nil || c.Secrets[0].ID != passing.ID {
				t.Errorf("%v: the secret is gone: %+v, %v", by, c, err)
			}
		}
	}
}

// A clock that has run evenly for a day after a jump is trusted.
func TestMemoryClockSteady(t *testing.T) {
	var m Memory
	if _, err := m.Revoke(t.Context(), Change{Kind: TokenRevoked, TokenID: "x", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	m.clock.shift = 40 * 24 * time.Hour
	if page, err := m.Changes(t.Context(), 0); err != nil || len(page.Changes) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	m.clock.jumped = m.clock.jumped.Add(-steadyTime)
	if page, err := m.Changes(t.Context(), 0); err != nil || len(page.Changes) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}
