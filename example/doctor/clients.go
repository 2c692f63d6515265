package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// scopes are scopes, each with one place that names it.
type scopes map[string]string

// group is what several clients have in common.
type group struct {
	severity Severity
	check    string
	text     string // behind the names of the clients
	do       string
}

// clients checks the clients among themselves, and against the configuration.
func (c *check) clients(all []registry.Client, wanted scopes) {
	found := map[group][]string{}
	for i := range all {
		if all[i].Disabled {
			continue // gets no token, whatever it has
		}
		for _, g := range append(c.secrets(&all[i], time.Now()), c.client(&all[i])...) {
			found[g] = append(found[g], all[i].ID)
		}
	}
	groups := slices.SortedFunc(maps.Keys(found), func(a, b group) int {
		if a.severity != b.severity {
			return int(b.severity) - int(a.severity)
		}
		return strings.Compare(a.check+a.text, b.check+b.text)
	})
	for _, g := range groups {
		c.add(g.severity, g.check, names(found[g])+" "+g.text, g.do)
	}
	missing := c.unused(all, wanted)
	switch {
	case len(all) == 0:
		c.add(Notice, "clients", "There are no clients yet.", "Add one: go run ./example/clients add ID -scope SCOPE -audience URI")
	case len(groups)+missing == 0:
		c.goodf("clients", "%d %s: audiences, scopes and secrets fit.", len(all), plural(len(all), "client", "clients"))
	}
}

// client checks a client's audiences and scopes.
func (c *check) client(client *registry.Client) (found []group) {
	if len(client.Audiences) == 0 && len(client.Introspects) == 0 {
		found = append(found, group{Wrong, "audiences", "has no audience and gets no token.", "Give it the audience of the API that it calls."})
	}
	known := c.audiences()
	for _, audience := range client.Audiences {
		_, listed := c.Resources[audience]
		switch {
		case c.Resources != nil && !listed:
			found = append(found, group{Wrong, "audiences", fmt.Sprintf("has the audience %.200q, which is not in Config.Resources: tokens for it have no scope.", audience),
				"Correct the client, or add the audience to Config.Resources with its scopes."})
		case len(known) > 0 && !known[audience]:
			found = append(found, group{Notice, "audiences", fmt.Sprintf("has the audience %.200q, which no API known here has.", audience),
				"Nothing, if an API elsewhere has it. Audiences are compared byte for byte."})
		}
	}
	if c.Resources == nil {
		return found
	}
	for _, scope := range client.Scopes {
		if !slices.ContainsFunc(client.Audiences, func(a string) bool { return slices.Contains(c.Resources[a], scope) }) {
			found = append(found, group{Notice, "scopes", fmt.Sprintf("has the scope %q, which none of its audiences has in Config.Resources: it is never granted.", scope),
				"Add the scope to the audience, or take it from the client."})
		}
	}
	return found
}

// audiences are those that are known here.
func (c *check) audiences() map[string]bool {
	known := map[string]bool{}
	for _, audience := range c.Audiences {
		known[audience] = true
	}
	for audience := range c.Resources {
		known[audience] = true
	}
	return known
}

// secrets checks the secrets of a client.
func (c *check) secrets(client *registry.Client, now time.Time) (found []group) {
	lasting := 0
	for _, s := range client.Secrets {
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(now.Add(c.Ahead)) {
			lasting++
		}
	}
	if len(client.Secrets) == 0 && client.UsesSecret() {
		found = append(found, group{Notice, "secrets", "has no secret that is in force.", "Make one: go run ./example/clients rotate-secret ID, or delete the client."})
	}
	for _, s := range client.Secrets {
		since := s.LastUsedAt
		if since.Before(s.CreatedAt) {
			since = s.CreatedAt
		}
		days := int(c.UnusedFor / day)
		switch {
		case !s.Generated() && !c.ImportedSecrets:
			found = append(found, group{Wrong, "secrets", "has a secret that a person or another system chose, and such secrets are refused.",
				"Set Config.ImportedSecrets, or generate a secret: go run ./example/clients rotate-secret ID"})
		case s.ExpiresAt.IsZero() || s.ExpiresAt.After(now.Add(c.Ahead)):
			if !since.IsZero() && now.Sub(since) > c.UnusedFor {
				found = append(found, group{Notice, "secrets", fmt.Sprintf("has a secret that was not used for %d days.", days),
					"Ask its owner. Remove it: go run ./example/clients remove-secret ID SECRET, or disable the client."})
			}
		case lasting == 0 && client.UsesSecret():
			found = append(found, group{Wrong, "secrets", fmt.Sprintf("has no secret that lasts: the last one expires within %d days.", int(c.Ahead/day)),
				"Give its owner a new one now: go run ./example/clients rotate-secret ID -overlap 24h"})
		case s.LastUsedAt.After(now.Add(-c.Ahead)):
			found = append(found, group{Notice, "secrets", fmt.Sprintf("still uses a secret that expires within %d days. It has another one.", int(c.Ahead/day)),
				"See that its owner changes to the new one in time."})
		}
	}
	return slices.Compact(found)
}

// unused adds the audiences and scopes that no client has, and returns how many.
func (c *check) unused(all []registry.Client, wanted scopes) (missing int) {
	if len(all) == 0 {
		return 0
	}
	for _, audience := range slices.Sorted(maps.Keys(c.audiences())) {
		if !slices.ContainsFunc(all, func(client registry.Client) bool { return slices.Contains(client.Audiences, audience) }) {
			missing++
			c.add(Notice, "audiences", fmt.Sprintf("No client has the audience %.200q, so nobody gets a token for that API.", audience),
				"Nothing, if no client calls it yet. Audiences are compared byte for byte.")
		}
	}
	offered := maps.Clone(wanted)
	if offered == nil {
		offered = scopes{}
	}
	for audience, list := range c.Resources {
		for _, scope := range list {
			offered[scope] = fmt.Sprintf("%q in Config.Resources has", audience)
		}
	}
	for _, scope := range slices.Sorted(maps.Keys(offered)) {
		if !slices.ContainsFunc(all, func(client registry.Client) bool { return slices.Contains(client.Scopes, scope) }) {
			missing++
			c.add(Notice, "scopes", fmt.Sprintf("No client has the scope %q, which %s.", scope, offered[scope]), "Nothing, if no client needs it yet.")
		}
	}
	return missing
}

const maxNames = 5 // of the clients that a finding lists

func names(ids []string) string {
	ids = slices.Compact(ids)
	quoted := make([]string, 0, maxNames)
	for _, id := range ids[:min(len(ids), maxNames)] {
		quoted = append(quoted, fmt.Sprintf("%q", id))
	}
	text := "Client " + strings.Join(quoted, ", ")
	if len(ids) > 1 {
		text = fmt.Sprintf("Each of %d clients (%s", len(ids), strings.Join(quoted, ", "))
		if len(ids) > maxNames {
			text += ", …"
		}
		text += ")"
	}
	return text
}
