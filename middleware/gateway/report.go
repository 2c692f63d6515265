package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Report is what the shadow would have done so far: shadow rules, Config.Shadow or
// Config.ShadowAuth. It is exact but for the requests that Skipped counts. Answers that are
// no decision of a token or a policy are not in it: unknown routes, ambiguous paths, and
// limits. The zero Report is of no requests.
type Report struct {
	Since    time.Time // when the policies were set
	Requests uint64    // that were judged by both sides
	Pending  int       // that Config.ShadowAuth is judging now
	Skipped  uint64    // that were not judged, because too many were at once, or the judge failed

	// WouldRefuse has the requests that the shadow would refuse, the most changed first.
	WouldRefuse []Outcome

	// WouldAllow has the requests that are refused now and that the shadow would let in, by
	// the rule and the reason by which they are refused now.
	WouldAllow []Outcome
}

// Outcome is a number of requests that would be refused by one rule for one reason, or are
// refused so now. The zero Outcome is of none.
type Outcome struct {
	// Rule is the name of the rule, such as "GET /orders/:id", and Place where it is, such as
	// "line 12". Both are empty for a request without a valid token, and for one that no rule
	// is for.
	Rule, Place string

	Reason   event.Reason
	Requests uint64 // all of them
	Changed  uint64 // those of them that one side lets in and the other does not

	// Clients are the verified clients whose answers would change. Others counts the
	// requests of clients beyond Config.ReportClients.
	Clients []ClientCount
	Others  uint64
}

// ClientCount is how many answers to a verified client would change.
type ClientCount struct {
	Issuer, ClientID string // as in its tokens
	Requests         uint64 // whose answers would change
}

type client struct{ issuer, id string }

// report counts. Requests that both sides let in, which are most, cost no more than one
// lock.
type report struct {
	mu                sync.Mutex
	since             time.Time
	requests, skipped uint64
	pending           int
	clients           map[client]struct{} // the first, up to most
	most              int
	refuse, allow     map[outcome]*tally
}

type tally struct {
	requests, changed, others uint64
	clients                   map[client]uint64
}

func newReport(since time.Time, most int) *report {
	return &report{since: since, most: most, clients: map[client]struct{}{}, refuse: map[outcome]*tally{}, allow: map[outcome]*tally{}}
}

// add counts a request. of is its client: verified, if one side lets it in.
func (r *report) add(now, then outcome, of client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	switch {
	case then.reason != "":
		r.tally(r.refuse, then, of, now.reason == "")
	case now.reason != "":
		r.tally(r.allow, now, of, true)
	}
}

func (r *report) tally(into map[outcome]*tally, o outcome, of client, changed bool) {
	t := into[o]
	if t == nil {
		t = &tally{clients: map[client]uint64{}}
		into[o] = t
	}
	t.requests++
	if !changed {
		return
	}
	t.changed++
	if _, known := r.clients[of]; !known {
		if len(r.clients) >= r.most {
			t.others++
			return
		}
		r.clients[client{strings.Clone(of.issuer), strings.Clone(of.id)}] = struct{}{}
	}
	t.clients[of]++
}

func (r *report) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending++
}

func (r *report) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending--
}

func (r *report) skip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped++
}

// Report returns what the shadow would have done since the last [Gateway.Swap]. Without a
// shadow it is zero.
func (g *Gateway) Report() Report {
	s := g.state()
	if s == nil || s.report == nil {
		return Report{}
	}
	return s.report.snapshot()
}

func (r *report) snapshot() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Report{
		Since: r.since, Requests: r.requests, Pending: r.pending, Skipped: r.skipped,
		WouldRefuse: outcomes(r.refuse), WouldAllow: outcomes(r.allow),
	}
}

func outcomes(tallies map[outcome]*tally) []Outcome {
	all := make([]Outcome, 0, len(tallies))
	for o, t := range tallies {
		row := Outcome{Reason: o.reason, Requests: t.requests, Changed: t.changed, Others: t.others}
		if o.rule != nil {
			row.Rule, row.Place = o.rule.name, o.rule.place
		}
		for of, n := range t.clients {
			row.Clients = append(row.Clients, ClientCount{of.issuer, of.id, n})
		}
		slices.SortFunc(row.Clients, func(a, b ClientCount) int {
			return cmp.Or(-cmp.Compare(a.Requests, b.Requests), cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.ClientID, b.ClientID))
		})
		all = append(all, row)
	}
	slices.SortFunc(all, func(a, b Outcome) int {
		return cmp.Or(-cmp.Compare(a.Changed, b.Changed), -cmp.Compare(a.Requests, b.Requests), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// MarshalJSON writes the report with names like would_refuse.
func (r Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Since    time.Time     `json:"since"`
		Requests uint64        `json:"requests"`
		Pending  int           `json:"pending"`
		Skipped  uint64        `json:"skipped"`
		Refuse   []outcomeJSON `json:"would_refuse"`
		Allow    []outcomeJSON `json:"would_allow"`
	}{r.Since, r.Requests, r.Pending, r.Skipped, rows(r.WouldRefuse), rows(r.WouldAllow)})
}

type outcomeJSON struct {
	Rule     string       `json:"rule,omitempty"`
	Place    string       `json:"place,omitempty"`
	Reason   event.Reason `json:"reason"`
	Requests uint64       `json:"requests"`
	Changed  uint64       `json:"changed"`
	Clients  []clientJSON `json:"clients,omitempty"`
	Others   uint64       `json:"others,omitempty"`
}

type clientJSON struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	Requests uint64 `json:"requests"`
}

func rows(all []Outcome) []outcomeJSON {
	written := make([]outcomeJSON, len(all))
	for i, o := range all {
		written[i] = outcomeJSON{Rule: o.Rule, Place: o.Place, Reason: o.Reason, Requests: o.Requests, Changed: o.Changed, Others: o.Others}
		for _, c := range o.Clients {
			written[i].Clients = append(written[i].Clients, clientJSON(c))
		}
	}
	return written
}

// String returns the report as a text for an operator.
func (r Report) String() string {
	var b strings.Builder
	if r.Since.IsZero() {
		b.WriteString("nothing is in shadow")
	} else {
		fmt.Fprintf(&b, "%d requests since %s", r.Requests, r.Since.UTC().Format(time.RFC3339))
	}
	if r.Pending > 0 {
		fmt.Fprintf(&b, ", %d being judged", r.Pending)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(&b, ", %d NOT JUDGED", r.Skipped)
	}
	b.WriteByte('\n')
	for _, part := range [...]struct {
		title string
		all   []Outcome
	}{{"would be refused", r.WouldRefuse}, {"would be let in", r.WouldAllow}} {
		if len(part.all) == 0 {
			fmt.Fprintf(&b, "\n%s: none\n", part.title)
			continue
		}
		fmt.Fprintf(&b, "\n%s: (changed / requests)\n", part.title)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, o := range part.all {
			fmt.Fprintf(w, "  %d / %d\t%s\t%s\t%s\n", o.Changed, o.Requests, o.Reason, cmp.Or(printable(o.Rule), "no rule"), o.Place)
			for _, c := range o.Clients {
				fmt.Fprintf(w, "    %d\tclient %s\tof %s\t\n", c.Requests, printable(c.ClientID), printable(c.Issuer))
			}
			if o.Others > 0 {
				fmt.Fprintf(w, "    %d\tothers\t\t\n", o.Others)
			}
		}
		_ = w.Flush() // into memory
	}
	return endsTrimmed(b.String())
}

// printable returns a text on one line. Client ids and issuers come from tokens.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
