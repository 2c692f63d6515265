package issuer

import (
	"testing"
	"time"
)

func TestTokenLifetime(t *testing.T) {
	for name, tt := range map[string]struct {
		config Config
		client time.Duration
		want   int64
	}{
		"default":               {Config{}, 0, 900},
		"the issuer's":          {Config{TokenTTL: time.Minute}, 0, 60},
		"the client's, shorter": {Config{}, time.Minute, 60},
		"the client's, longer":  {Config{}, 30 * time.Minute, 1800},
		"at most an hour":       {Config{}, 24 * time.Hour, 3600},
		"at most MaxTokenTTL":   {Config{TokenTTL: time.Minute, MaxTokenTTL: 90 * time.Second}, time.Hour, 90},
		"long for all":          {Config{TokenTTL: 2 * time.Hour}, 0, 7200},
		"long for one":          {Config{MaxTokenTTL: 2 * time.Hour}, 2 * time.Hour, 7200},
		"a second":              {Config{TokenTTL: time.Second}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := app()
			c.TokenTTL = tt.client
			tt.config.MaxGrantRate = -1
			exact := newService(t, tt.config, c)
			g := exact.wantToken(t, exact.post(appForm))
			if got := g.claims.Expiry - g.claims.IssuedAt; got != tt.want || g.answer.ExpiresIn != tt.want {
				t.Errorf("exp - iat = %d, expires_in %d, want %d", got, g.answer.ExpiresIn, tt.want)
			}
			wantSpread(t, newSpreading(t, tt.config, c), tt.want)
		})
	}
}

// wantSpread gets 100 tokens. None is longer than the TTL, and none much shorter.
func wantSpread(t *testing.T, s *service, ttl int64) {
	t.Helper()
	shortest, longest, lifetimes := ttl, int64(0), map[int64]bool{}
	for range 100 {
		g := s.wantToken(t, s.post(appForm))
		got := g.claims.Expiry - g.claims.IssuedAt
		if g.answer.ExpiresIn != got {
			t.Fatalf("exp - iat = %d, and expires_in is %d", got, g.answer.ExpiresIn)
		}
		shortest, longest, lifetimes[got] = min(shortest, got), max(longest, got), true
	}
	if longest > ttl || shortest < ttl-ttl/20 {
		t.Errorf("lifetimes from %d to %d, want at most %d and at least 95 %% of it", shortest, longest, ttl)
	}
	// That 100 draws show fewer than half of the values has a chance of less than 1e-15.
	if want := min(ttl/20+1, 45); int64(len(lifetimes)) < (want+1)/2 {
		t.Errorf("%d different lifetimes of %d s, want about %d", len(lifetimes), ttl, want)
	}
}
