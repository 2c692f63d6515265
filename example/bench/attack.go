package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/jwks"
)

// attacks are the kinds of forgery. Each makes one from a good credential and a number.
var attacks = []struct {
	name  string
	forge func(w *world, good string, n int) string
}{
	{"right kid, wrong signature", func(_ *world, good string, n int) string {
		return otherSignature(good, n)
	}},
	{"unknown kid", func(w *world, good string, n int) string {
		return unknownKey(w.alg, good, "forged-"+strconv.Itoa(n))
	}},
	{"8 kB of dots", func(*world, string, int) string { return junk["8 kB of dots"] }},
}

// otherSignature returns a wrong signature of the right length, a different one for each n.
func otherSignature(credential string, n int) string {
	wrong := wrongSignature(credential)
	const digits = 8
	at := len(wrong) - digits - 2 // before the last character, of which some bits are padding
	return wrong[:at] + fmt.Sprintf("%0*d", digits, n) + wrong[at+digits:]
}

func attack(ctx context.Context, b *bench) error {
	w, err := newWorld("ES256")
	if err != nil {
		return err
	}
	defer w.Close()
	server := publish(w)
	defer server.Close()
	good, err := w.credentials(distinctTokens)
	if err != nil {
		return err
	}
	s := &siege{bench: b, bounded: true, table: &table{head: []string{"ES256", "good alone, ns", "forgery alone, ns", "one of each, ns", "× sum of the two", "× apart", "heap, MB"}}}
	for _, a := range attacks {
		forge := func(n int) string { return a.forge(w, good[0], n) }
		if err := s.onRoute("repeated token and "+a.name, w, server.URL, 0, good[:1], forge); err != nil {
			return err
		}
		if err := s.onRoute("first sight and "+a.name, w, server.URL, -1, good, forge); err != nil {
			return err
		}
	}
	if err := s.onTokenEndpoint(ctx, "`POST /token` and wrong secrets of many clients"); err != nil {
		return err
	}
	b.heading("Under attack", "One good request and one forgery in turn, against each alone; and against the same apart, each at an app of its own with keys of its own, for two\n"+
		"kinds of work in turn cost a CPU more than either in a row, on any program. At most 1 × apart means that good requests lose no more than what\n"+
		"it costs to see through the forgeries. The heap is what %s forgeries, all different, left, and then as many again (four times that at the\n"+
		"token endpoint, whose tables are then full).", count(s.forgeries()))
	s.table.write(b.out)
	worst := slices.MaxFunc(s.mixes, func(a, b spread) int { return cmp.Compare(a.low, b.low) })
	b.found("attack", worst.reachesOne(), "worst %v", worst)
	b.found("attack memory", s.bounded, "at most %.1f MB, then %.1f MB more", s.most[0]/mega, s.most[1]/mega)
	return nil
}

// siege is the result of the attacks so far.
type siege struct {
	*bench
	table *table
	mixes []spread // time of the mix, over that of the same requests apart

	most    [2]float64 // bytes on the heap after the forgeries, and after as many again
	bounded bool       // the second half added less than half of the first, or next to nothing
}

const mega = 1 << 20

// grew records how much the heap grew.
func (s *siege) grew(left [2]float64) {
	s.bounded = s.bounded && left[1] < left[0]/2+mega
	s.most[0], s.most[1] = max(s.most[0], left[0]), max(s.most[1], left[1])
}

func (s *siege) forgeries() int { return s.verdicts / 20 }

// onRoute attacks a guarded route.
func (s *siege) onRoute(name string, w *world, jwksURL string, maxVerdicts int, good []string, forge func(n int) string) error {
	here, there := jwks.NewRemote(jwksURL, jwks.RemoteConfig{}), jwks.NewRemote(jwksURL, jwks.RemoteConfig{})
	defer here.Close()
	defer there.Close()
	var apps [2]*echo.Echo
	for i, keys := range []jwks.Source{here, there} {
		middleware, err := m2mGuard(w.iss, keys, maxVerdicts)
		if err != nil {
			return err
		}
		apps[i] = newRoute(middleware)
	}
	one, err1 := newCaller(apps[0])
	two, err2 := newCaller(apps[0])
	apart, err3 := newCaller(apps[1])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	forged := make([]string, distinctTokens) // made in advance, so that only refusing them is measured
	for n := range forged {
		forged[n] = forge(n)
	}
	n := 0
	return s.lay(name, battle{
		good: one.rotating(good, http.StatusOK), forged: two.rotating(forged, http.StatusUnauthorized), apart: apart.rotating(forged, http.StatusUnauthorized),
		forgeries: s.forgeries(), more: func() error {
			n++
			if status := two.send(forge(n)); status != http.StatusUnauthorized {
				return fmt.Errorf("a forgery: status %d", status)
			}
			return nil
		},
	})
}

// onTokenEndpoint attacks the issuer with wrong secrets of a known client and of
// many unknown ones, from many networks.
func (s *siege) onTokenEndpoint(ctx context.Context, name string) (err error) {
	o, err := newOffice("ES256")
	if err != nil {
		return err
	}
	defer o.Close()
	here, err := memoryGrantor(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, here.Close()) }()
	there, err := memoryGrantor(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.Close()) }()
	var wrongs [2]func() error
	var one *poster
	for i, g := range []grantor{here, there} {
		good, err1 := newPoster(g.handler, g.path)
		bad, err2 := newPoster(g.handler, g.path)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if one == nil {
			one = good
		}
		n := 0
		wrongs[i] = func() error {
			n++
			return wrongSecret(bad, o, n)
		}
	}
	return s.lay(name, battle{
		good: one.asking([]string{basic(o.clientID, o.secret)}, http.StatusOK), forged: wrongs[0], apart: wrongs[1], forgeries: 4 * s.forgeries(), more: wrongs[0],
	})
}

// wrongSecret returns the n-th attempt. Half of them are for the known client.
func wrongSecret(p *poster, o *office, n int) error {
	id := o.clientID
	if n%2 == 0 {
		id = "nobody-" + strconv.Itoa(n)
	}
	p.request.RemoteAddr = fmt.Sprintf("10.%d.%d.1:1", n>>8&0xff, n&0xff)
	status := p.send(basic(id, "m2m_wrong-"+strconv.Itoa(n)))
	if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
		return fmt.Errorf("a wrong secret: status %d", status)
	}
	return nil
}

// battle is a good request and a forgery.
type battle struct {
	good, forged, apart func() error // apart sends the forgery to another guard, which shares nothing
	forgeries           int
	more                func() error // sends a forgery that is new
}

// lay measures one attack.
func (s *siege) lay(name string, b battle) error {
	both := func(forged func() error) func() error {
		return func() error {
			if err := b.good(); err != nil {
				return err
			}
			return forged()
		}
	}
	all, err := s.plan.race([]contestant{
		{name: "good", op: b.good}, {name: "forged", op: b.forged}, {name: "mix", op: both(b.forged)}, {name: "apart", op: both(b.apart)},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var left [2]float64
	before := liveHeap()
	for i := range left {
		for range b.forgeries {
			if err := b.more(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		after := liveHeap()
		left[i], before = after-before, after
	}
	s.grew(left)
	mix, apart := ratioSpread(all[2].ns, paired(all[0].ns, all[1].ns, sum)), ratioSpread(all[2].ns, all[3].ns)
	s.mixes = append(s.mixes, apart)
	s.table.add(name, inNanoseconds.median(all[0]), inNanoseconds.median(all[1]), inNanoseconds.median(all[2]), mix.String(), apart.String(),
		fmt.Sprintf("%+.1f, then %+.1f", left[0]/mega, left[1]/mega))
	return nil
}
