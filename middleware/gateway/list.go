package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// ruleJSON is a rule as a policy file has it.
type ruleJSON struct {
	Route     string      `json:"route"`
	Methods   []string    `json:"methods,omitempty"`
	Issuers   []string    `json:"issuers,omitempty"`
	Scopes    []string    `json:"scopes,omitempty"`
	AnyScopes []string    `json:"any_scopes,omitempty"`
	Claims    []claimJSON `json:"claims,omitempty"`
	AnyToken  bool        `json:"any_token,omitempty"`
	Limit     *limitJSON  `json:"limit,omitempty"`
	Shadow    bool        `json:"shadow,omitempty"`
}

type claimJSON struct {
	Name string `json:"name"`
	Is   any    `json:"is,omitempty"`
	Has  any    `json:"has,omitempty"`
}

type limitJSON struct {
	Rate       float64 `json:"rate,omitempty"`
	Burst      int     `json:"burst,omitempty"`
	Concurrent int     `json:"concurrent,omitempty"`
}

func (r *rule) json() ruleJSON {
	written := ruleJSON{
		Route: r.Route, Methods: r.Methods, Issuers: r.Issuers, Scopes: r.Scopes, AnyScopes: r.AnyScopes,
		AnyToken: r.AnyToken, Shadow: r.Shadow,
	}
	for _, c := range r.Claims {
		written.Claims = append(written.Claims, claimJSON(c))
	}
	if !r.Limit.isZero() {
		limit := limitJSON(r.Limit)
		written.Limit = &limit
	}
	return written
}

// MarshalJSON writes the policy as [ParsePolicy] reads it.
func (p *Policy) MarshalJSON() ([]byte, error) {
	rules := []ruleJSON{}
	if p != nil {
		for _, r := range p.rules {
			rules = append(rules, r.json())
		}
	}
	return json.Marshal(map[string][]ruleJSON{"rules": rules})
}

// String returns the policy as a table, to be printed at the start of a program.
func (p *Policy) String() string {
	if p == nil || len(p.rules) == 0 {
		return "policy: no rules, so nothing is let in\n"
	}
	var b strings.Builder
	from := ""
	if p.source != "" {
		from = " of " + p.source
	}
	noun := "rules"
	if len(p.rules) == 1 {
		noun = "rule"
	}
	fmt.Fprintf(&b, "policy%s: %d %s; what no rule allows is refused\n", from, len(p.rules), noun)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range p.rules {
		fmt.Fprintf(w, "  %s\t%s\t%s\t\n", r.place, printable(r.name), printable(r.wants()))
	}
	_ = w.Flush() // into memory
	return endsTrimmed(b.String())
}

// endsTrimmed removes the spaces with which a tabwriter fills the last column.
func endsTrimmed(table string) string {
	lines := strings.Split(table, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// wants says what the rule wants, in words.
func (r *rule) wants() string {
	var wants []string
	if r.AnyToken {
		wants = append(wants, "any token")
	}
	if len(r.Scopes) > 0 {
		wants = append(wants, strings.Join(r.Scopes, " and "))
	}
	if len(r.AnyScopes) > 0 {
		wants = append(wants, strings.Join(r.AnyScopes, " or "))
	}
	for _, w := range r.claims {
		verb := "is"
		if w.has {
			verb = "has"
		}
		wants = append(wants, w.name+" "+verb+" "+w.shown)
	}
	if l := r.Limit; !l.isZero() {
		var bounds []string
		if l.Rate > 0 {
			bounds = append(bounds, strconv.FormatFloat(l.Rate, 'g', -1, 64)+" a second, "+strconv.Itoa(l.burst())+" at once")
		}
		if l.Concurrent > 0 {
			bounds = append(bounds, strconv.Itoa(l.Concurrent)+" under way")
		}
		wants = append(wants, "limit "+strings.Join(bounds, ", "))
	}
	return strings.Join(wants, "; ")
}

// Status is the state of a [Gateway], for operators. The zero Status is that of a gateway
// that was not made by New.
type Status struct {
	Since     time.Time    // when the policies were set
	Source    string       // the file of the policy; empty if it is of no file
	Shadow    bool         // a policy, a rule or a Bearer is in shadow
	Rules     []RuleStatus // in their order
	Unmatched uint64       // requests with a valid token that were refused because no rule was for them
}

// RuleStatus is what one rule has decided since its policy was set. The zero RuleStatus is
// of no rule.
type RuleStatus struct {
	Name, Place string // such as "GET /orders/:id" and "line 12"
	Requests    uint64 // for which it decided, with a valid token; 0 for a shadow rule
	Refused     uint64 // those of them that it refused

	// Unused says that the router has no such route, so that the rule can never decide. It
	// is known with Echo, from the first request on.
	Unused bool
}

// Status returns the state of the gateway.
func (g *Gateway) Status() Status {
	s := g.state()
	if s == nil {
		return Status{}
	}
	return s.status(&g.routes)
}

func (s *state) status(routes *routes) Status {
	status := Status{Since: s.since, Source: s.policy.source, Shadow: s.report != nil, Unmatched: s.unmatched.Load()}
	for i, r := range s.policy.rules {
		status.Rules = append(status.Rules, RuleStatus{
			Name: r.name, Place: r.place, Requests: s.counts[i].requests.Load(), Refused: s.counts[i].refused.Load(), Unused: routes.lack(r),
		})
	}
	return status
}

// PolicyHandler answers GET with the policies in force and what each rule has decided, to
// callers with all the scopes. It is JSON, or a text with ?format=text. Without a scope it
// lets nobody in. It needs no rule of the policy if it is registered beside the gateway, not
// behind it.
func (g *Gateway) PolicyHandler(scopes ...string) http.Handler {
	return g.show(scopes, func() (string, any) {
		s := g.state()
		status := s.status(&g.routes)
		listed := listing{Since: s.since, Source: s.policy.source, Unmatched: status.Unmatched, Shadow: s.shadow}
		var text strings.Builder
		text.WriteString(s.policy.String())
		for i, r := range s.policy.rules {
			of := status.Rules[i]
			listed.Rules = append(listed.Rules, ruleListing{r.json(), of.Place, of.Requests, of.Refused, of.Unused})
			if of.Unused {
				fmt.Fprintf(&text, "not used: %s (%s): the router has no such route\n", r.place, printable(r.name))
			}
		}
		if s.shadow != nil {
			text.WriteString("\nin shadow: " + s.shadow.String())
		}
		return text.String(), listed
	})
}

type listing struct {
	Since     time.Time     `json:"since"`
	Source    string        `json:"source,omitempty"`
	Rules     []ruleListing `json:"rules"`
	Unmatched uint64        `json:"unmatched"`
	Shadow    *Policy       `json:"shadow,omitempty"`
}

type ruleListing struct {
	ruleJSON
	Place    string `json:"place"`
	Requests uint64 `json:"requests"`
	Refused  uint64 `json:"refused"`
	Unused   bool   `json:"unused,omitempty"`
}

// ReportHandler answers GET with [Gateway.Report], as PolicyHandler does.
func (g *Gateway) ReportHandler(scopes ...string) http.Handler {
	return g.show(scopes, func() (string, any) {
		r := g.Report()
		return r.String(), r
	})
}

// show guards what is for operators.
func (g *Gateway) show(scopes []string, of func() (text string, document any)) http.Handler {
	if !g.usable() || len(scopes) == 0 {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { misconfigured().answer(w) })
	}
	return g.auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		text, document := of()
		if r.URL.Query().Get("format") == "text" {
			h.Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte(text)) // the caller may have left
			return
		}
		body, err := json.Marshal(document)
		if err != nil {
			misconfigured().answer(w)
			return
		}
		h.Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n')) // the caller may have left
	}), scopes...)
}
