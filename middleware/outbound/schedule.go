package outbound

import "time"

const (
	assumedLife = 5 * time.Minute  // of a token whose lifetime is not known
	longestLead = 20 * time.Minute // refreshes begin at least this long before the end, if the lifetime allows
	longestSafe = 5 * time.Second  // the most that a token is not used before its end

	longestShift = 5 * time.Minute // the most that Date moves the end of a token behind exp
)

// times are the moments in the life of a token.
type times struct {
	obtained time.Time // when it was asked for
	refresh  time.Time // when a refresh begins
	until    time.Time // the end of its last safe second
	wall     time.Time // the same, without a monotonic reading
	expires  time.Time // its end
}

// usable reports whether now is before the end of the last safe second, by the monotonic
// clock and by the wall clock. The former does not move while a machine is suspended, the
// latter may be set back.
func (t *times) usable(now time.Time) bool {
	return now.Before(t.until) && now.Round(0).Before(t.wall)
}

// schedule plans the life of a token. The refresh begins at a random moment between a
// third of the lifetime and the lifetime − min(lifetime/2, 20 min). random returns a
// random duration in [0, n).
//
// A token is not used in its last tenth, or its last 5 s if that is less: a request takes
// time to arrive.
func schedule(obtained time.Time, life time.Duration, random func(n time.Duration) time.Duration) times {
	first, last := life/3, life-min(life/2, longestLead)
	until := obtained.Add(life - min(life/10, longestSafe))
	return times{
		obtained: obtained,
		refresh:  obtained.Add(first + random(last-first)),
		until:    until,
		wall:     until.Round(0),
		expires:  obtained.Add(life),
	}
}

// lifeOf returns the lifetime of a token that was asked for at sent and arrived at
// received. It is 0 or less if the token has expired.
//
// expires_in needs no clock, and begins when the token was asked for, to be safe. Without
// it and exp the lifetime is 5 min.
//
// exp is read by two clocks: the one here, and the server's as its Date tells it. The
// earlier end of the two counts. With expires_in, Date may move the end by up to 5 min
// behind exp as the clock here reads it, and never behind expires_in. So a clock or a Date
// that is wrong by hours does not stretch a lifetime.
//
// No server issues expired tokens. If exp has passed by one of the two clocks, that clock
// is taken to be wrong, and the other one counts, for at most expires_in or 5 min. If it
// has passed by both, the token has expired.
func lifeOf(a *answer, sent, received time.Time, offset time.Duration, offsetKnown bool) time.Duration {
	life := assumedLife
	if a.stated {
		life = a.life
	}
	exp, ok := expiry(a.token)
	if !ok {
		return life
	}
	here := min(exp.Sub(received.Round(0)), 2*maxLife) + received.Sub(sent) // the difference saturates, and the sum would overflow
	there := here + offset                                                  // up to a second too much, for Date is in whole seconds
	switch {
	case !offsetKnown && here <= 0:
		return life
	case !offsetKnown:
		there = here
	case here <= 0 || there <= 0:
		return min(life, max(here, there))
	}
	if a.stated {
		return min(life, there, here+longestShift)
	}
	return min(maxLife, there, here)
}
