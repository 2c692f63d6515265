package issuertest

import (
	"slices"
	"strconv"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

var timeFaults = []Fault{
	at("expired", event.Expired, "exp was an hour ago.", "exp", -time.Hour, number).in(old),
	at("expired, with a fraction", event.Expired, "exp was an hour ago, and has a fraction.", "exp", -time.Hour, fraction).in(old),
	at("expired, with an exponent", event.Expired, "exp was an hour ago, and is written like 1.5e9.", "exp", -time.Hour, exponent).in(old),
	at("not yet valid", event.NotYetValid, "nbf is in ten minutes.", "nbf", 10*time.Minute, number).in(lasting),
	at("not yet valid, with a fraction", event.NotYetValid, "nbf is in ten minutes, and has a fraction.", "nbf", 10*time.Minute, fraction).in(lasting),
	at("not yet valid, with an exponent", event.NotYetValid, "nbf is in ten minutes, and is written like 1.5e9.", "nbf", 10*time.Minute, exponent).in(lasting),
	at("issued in the future", event.NotYetValid, "iat is in ten minutes.", "iat", 10*time.Minute, number).in(lasting),
	at("issued in the future, with a fraction", event.NotYetValid, "iat is in ten minutes, and has a fraction.", "iat", 10*time.Minute, fraction).in(lasting),
	at("issued in the future, with an exponent", event.NotYetValid, "iat is in ten minutes, and is written like 1.5e9.", "iat", 10*time.Minute, exponent).in(lasting),
}

// at is the fault of a token with a time that is so long after now.
func at(name string, reason event.Reason, about, claim string, after time.Duration, written func(seconds int64) string) Fault {
	return refused(name, reason, about, func(d *draft) { d.claims.set(claim, written(d.now.Add(after).Unix())) })
}

func fraction(seconds int64) string { return number(seconds) + ".5" }

func exponent(seconds int64) string { return strconv.FormatFloat(float64(seconds), 'e', -1, 64) }

// old makes a token of two hours ago: one that expires before it was issued has two
// faults.
func old(d *draft) {
	issued := number(d.now.Add(-2 * time.Hour).Unix())
	d.claims.set("iat", issued)
	if d.claims.get("nbf") != "" {
		d.claims.set("nbf", issued)
	}
}

// lasting makes a token that expires later than in ten minutes: one that expires before it
// is valid has two faults.
func lasting(d *draft) {
	least := d.now.Add(15 * time.Minute).Unix()
	if exp, err := strconv.ParseInt(d.claims.get("exp"), 10, 64); err == nil && exp < least {
		d.claims.set("exp", number(least))
	}
}

// mistypedTimes are the faults of times that are no dates.
func mistypedTimes() (all []Fault) {
	for _, claim := range []string{"exp", "nbf", "iat"} {
		all = append(all,
			refused(claim+" text", event.InvalidClaims, claim+" is a string.", func(d *draft) { d.claims.set(claim, quote(d.claims.get(claim))) }),
			mistyped(claim+" null", claim, `null`),
			mistyped(claim+" bool", claim, `true`),
			mistyped(claim+" too large", claim, `1e30`),
			mistyped(claim+" of 64 bits", claim, `9223372036854775807`),
			mistyped(claim+" negative", claim, `-1`),
			refused(claim+" in milliseconds", event.InvalidClaims, claim+" is in milliseconds.", func(d *draft) { d.claims.set(claim, d.claims.get(claim)+"000") }),
		)
	}
	for n := range all {
		all[n] = all[n].in(func(d *draft) { // nbf is optional
			if d.claims.get("nbf") == "" {
				d.claims.set("nbf", d.claims.get("iat"))
			}
		})
	}
	return slices.Clip(all)
}
