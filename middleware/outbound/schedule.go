package outbound

import "time"

const (
	assumedLife = 5 * time.Minute  // of a token whose lifetime is not known
	longestLead = 20 * time.Minute // refreshes begin at least this long before the end, if the lifetime allows
	longestSafe = 5 * time.Second  // the most that a token is not used before its end
)

// times are the moments in the life of a token.
type times struct {
	obtained time.Time // when it was asked for
	refresh  time.Time // when a refresh begins
	until    time.Time // the end of its last safe second
	expires  time.Time // its end
}

// schedule plans the life of a token. The refresh begins at a random moment between a
// third of the lifetime and the lifetime − min(lifetime/2, 20 min). random returns a
// random duration in [0, n).
//
// A token is not used in its last tenth, or its last 5 s if that is less: a request takes
// time to arrive.
func schedule(obtained time.Time, life time.Duration, random func(n time.Duration) time.Duration) times {
	first, last := life/3, life-min(life/2, longestLead)
	return times{
		obtained: obtained,
		refresh:  obtained.Add(first + random(last-first)),
		until:    obtained.Add(life - min(life/10, longestSafe)),
		expires:  obtained.Add(life),
	}
}

// lifeOf returns the lifetime of a token that was asked for at sent and arrived at
// received. It is the shorter one of expires_in and exp; expires_in begins when the token
// was asked for, to be safe. Without either it is 5 min.
//
// exp is read by the clock of the server, if the answer tells it. If not, an exp that has
// passed by the clock here counts as missing: that clock may be wrong.
func lifeOf(a *answer, sent, received time.Time, offset time.Duration, offsetKnown bool) time.Duration {
	life := assumedLife
	if a.stated {
		life = a.life
	}
	exp, ok := expiry(a.token)
	if !ok {
		return life
	}
	end := min(exp.Sub(received.Round(0)), 2*maxLife) + received.Sub(sent) // the difference saturates, and the sum would overflow
	if offsetKnown {
		end += offset // up to a second too much, for Date is in whole seconds
	}
	switch {
	case !offsetKnown && end <= 0:
		return life
	case a.stated:
		return min(life, end)
	}
	return min(end, maxLife)
}
