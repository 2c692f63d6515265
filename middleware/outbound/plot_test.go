package outbound

import (
	"math/rand/v2"
	"time"
)

const (
	outage = 20 * time.Minute
	wrong  = 5 * time.Minute // of a wrong secret
)

// plot is when trouble begins in the six hours of a simulation, drawn from its seed.
type plot struct {
	outage    time.Duration    // between 130 and 300 min
	wrong     time.Duration    // a wrong secret
	planned   [2]time.Duration // rotations: old tokens stay valid
	emergency time.Duration    // a rotation after which all tokens are refused
	many, one time.Duration    // revocations: a tenth of the clients, one client
}

// draw draws a plot. What no client can survive is left out: a token is refused, and there
// is no other one yet because the issuer is down or the secret is wrong. So nothing but a
// planned rotation is within 2 min of the outage, which is when all have made a call, or a
// retry. After a wrong secret it is 6 min: the right one is tried within 5 min. While all
// tokens are younger than 20 min, a wrong secret would be tried by no one.
//
// When all tokens or many are refused, all must be replaced at once. That is in the first
// two hours, and so not in the peaks of hours 3 to 6.
func draw(seed uint64) plot {
	dice := rand.New(rand.NewPCG(seed, 0))
	between := func(first, last int) time.Duration {
		first, last = first*int(time.Minute), last*int(time.Minute)
		return time.Duration(first + dice.IntN(last-first))
	}
	const call, retry, fresh = 2 * time.Minute, 6 * time.Minute, 25 * time.Minute
	apart := func(at, length, begin, end, before, after time.Duration) bool {
		return at+length+before < begin || at > end+after
	}
	p := plot{outage: between(130, 300)}
	for {
		p.wrong = between(int(fresh/time.Minute), 345)
		if apart(p.wrong, wrong, p.outage, p.outage+outage, retry, call) {
			break
		}
	}
	for i := range p.planned {
		for {
			if p.planned[i] = between(5, 355); apart(p.planned[i], 0, p.outage, p.outage+outage, 0, 0) {
				break
			}
		}
	}
	refusal := func(last int, before time.Duration) time.Duration {
		for {
			at := between(5, last)
			if apart(at, 0, p.outage, p.outage+outage, call, call) && apart(at, 0, p.wrong, p.wrong+wrong, before, retry) {
				return at
			}
		}
	}
	p.emergency, p.many, p.one = refusal(115, fresh), refusal(115, call), refusal(355, call)
	return p
}

// out reports whether the issuer is down in a minute, or in part of it.
func (p plot) out(minute int) bool { return during(minute, p.outage, p.outage+outage) }

// calm reports whether no refresh is late in a minute: the outage, or the wrong secret, is
// over and its refreshes are caught up. The tokens of two thirds of the sources are due for
// a refresh in an outage of 20 min, and they get theirs in the minute after it.
func (p plot) calm(minute int) bool {
	return !during(minute, p.outage, p.outage+outage+2*time.Minute) && !during(minute, p.wrong, p.wrong+wrong+6*time.Minute)
}

func during(minute int, begin, end time.Duration) bool {
	at := time.Duration(minute) * time.Minute
	return at < end && at+time.Minute > begin
}
