package issuertest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Fault is one thing that can be wrong with a token, and what a guard of package
// middleware, with its defaults, makes of it.
type Fault struct {
	Name   string       // for Bad, such as "expired"
	About  string       // what is wrong, in one sentence
	Status int          // HTTP status of the guard's answer: 401, or 400 if it is not one token
	Reason event.Reason // of the guard's event

	prepare func(d *draft) // makes a good token in which the fault is the only one; nil: every token is
	apply   func(d *draft, i *Issuer) error
}

// Faults returns all faults, for a test that a route refuses every bad token:
//
//	for _, fault := range issuertest.Faults() {
//		token := idp.Token(t, issuertest.Bad(fault.Name))
//		…
//	}
func Faults() []Fault {
	return slices.Concat(timeFaults, partyFaults, signatureFaults, algFaults, kidFaults, headerFaults,
		missingFaults, mistypedFaults, payloadFaults, spellingFaults, sizeFaults, stateFaults)
}

func faultNamed(name string) (Fault, error) {
	var names []string
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, fmt.Sprintf("%q", f.Name))
	}
	return Fault{}, fmt.Errorf("there is no fault %q: write one of %s", name, strings.Join(names, ", "))
}

// of puts the fault into a draft.
func (f Fault) of(d *draft, i *Issuer) error {
	if f.prepare != nil {
		f.prepare(d)
	}
	return f.apply(d, i)
}

// in returns the fault in tokens that are prepared like this.
func (f Fault) in(prepare func(d *draft)) Fault {
	f.prepare = prepare
	return f
}

// refused is a fault that the guard answers 401, as most are.
func refused(name string, reason event.Reason, about string, change func(d *draft)) Fault {
	return Fault{Name: name, About: about, Status: http.StatusUnauthorized, Reason: reason, apply: func(d *draft, _ *Issuer) error {
		change(d)
		return nil
	}}
}

// without is a fault of a token that lacks a claim.
func without(claim string, reason event.Reason) Fault {
	return refused("no "+claim, reason, claim+" is missing.", func(d *draft) { d.claims.remove(claim) })
}

// with is a fault of a token with a claim of this value.
func with(name, claim, value string, reason event.Reason, about string) Fault {
	return refused(name, reason, about, func(d *draft) { d.claims.set(claim, value) })
}

// mistyped is a fault of a token with a claim of this value, which has the wrong type or
// an impossible value.
func mistyped(name, claim, value string) Fault {
	return with(name, claim, value, event.InvalidClaims, claim+" is "+value+".")
}

// header is the fault of a header with a member of this value.
func header(name, member, value string, reason event.Reason, about string) Fault {
	return refused(name, reason, about, func(d *draft) { d.header.set(member, value) })
}
