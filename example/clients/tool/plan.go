package tool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// planned is what apply does about one client.
type planned struct {
	Action string        `json:"action"` // add, change or delete
	ID     string        `json:"client_id"`
	Fields []fieldChange `json:"fields,omitempty"`
	Note   string        `json:"note,omitempty"`

	want    *desired
	stored  *registry.Client // as it was read; a change of another version is refused
	changed *registry.Client // nil where only secrets are added
	secrets []registry.Secret
}

// plan is what apply does.
type plan struct {
	Changes   []*planned `json:"changes"`
	Unchanged int        `json:"unchanged"`
	Notes     []string   `json:"notes,omitempty"`
}

var planVerb = Verb{
	Group: groupMany, Name: "plan", Args: "FILE.json [-prune]", Summary: "print what apply would change; changes nothing",
	Takes: []string{"file"}, Text: fileText + `
plan ends with exit status 0 if the clients are as the file says, 2 if apply would
change some, and 1 if it failed. Its JSON is {"changes": [{"action", "client_id",
"fields": [{"name", "from", "to"}]}], "unchanged": N}; action is add, change or delete.`,
	Example: "clients export >clients.json\nclients plan clients.json",
	Setup: func(flags *flag.FlagSet) Action {
		prune := flags.Bool("prune", false, "delete the clients that the file does not name")
		return func(ctx context.Context, s *Session, args []string) error {
			p, err := s.makePlan(ctx, args[0], *prune)
			if err != nil {
				return err
			}
			if err := p.print(s); err != nil {
				return err
			}
			if len(p.Changes) > 0 {
				return errChanges
			}
			return nil
		}
	},
}

const fileText = `FILE.json is a JSON array of clients in the form of the admin API, as export and list
-json print them; - is the standard input. -prune takes no page of list, which may
leave clients out. A member that is left out is cleared, but for "disabled": a client
stays disabled until the file says "disabled": false.
"client_secret" is a secret that the client gets. A new client without one gets
a generated secret, but not one with keys, a certificate or a workload. Secrets are
added and never removed. Clients that the file does
not name are left alone without -prune.
`

// makePlan compares the file with the clients.
func (s *Session) makePlan(ctx context.Context, path string, prune bool) (*plan, error) {
	clients, page, err := s.readDesired(path)
	if err != nil {
		return nil, err
	}
	if prune && page {
		return nil, fmt.Errorf("%s is a page of list, which may leave clients out: with -prune write a JSON array, as export prints it", path)
	}
	if prune && len(clients) == 0 {
		return nil, fmt.Errorf("%s names no client: with -prune all would be deleted", path)
	}
	p, named := &plan{Changes: []*planned{}}, map[string]bool{}
	for n := range clients {
		d := &clients[n]
		named[d.client.ID] = true
		if err := p.compare(ctx, s, d); err != nil {
			return nil, err
		}
	}
	if !prune {
		return p, nil
	}
	stored, err := all(ctx, s)
	if err != nil {
		return nil, err
	}
	for n := range stored {
		if id := stored[n].ID; !named[id] {
			if own := s.own(); own == id {
				return nil, fmt.Errorf("%s does not name %q, the client that this tool uses: with -prune it would delete itself", path, own)
			}
			p.Changes = append(p.Changes, &planned{Action: "delete", ID: id, stored: &stored[n]})
		}
	}
	return p, nil
}

// own is the client that the tool itself uses, with the admin API.
func (s *Session) own() string {
	if c, ok := s.Clients.(bounded); ok {
		if api, ok := c.Clients.(*apiClients); ok {
			return api.id
		}
	}
	return ""
}

func (p *plan) compare(ctx context.Context, s *Session, d *desired) error {
	stored, err := s.Client(ctx, d.client.ID)
	if errors.Is(err, registry.ErrNotFound) {
		step := &planned{Action: "add", ID: d.client.ID, Fields: differences(&registry.Client{ID: d.client.ID}, &d.client), want: d}
		if d.wantsSecret() {
			step.Note = "with a generated secret"
		}
		p.Changes = append(p.Changes, step)
		return nil
	}
	if err != nil {
		return err
	}
	step := &planned{Action: "change", ID: d.client.ID, want: d, stored: stored}
	changed := d.client.Clone()
	changed.Version, changed.Secrets = stored.Version, stored.Secrets
	changed.CreatedAt, changed.UpdatedAt = stored.CreatedAt, stored.UpdatedAt
	if d.keepDisabled {
		changed.Disabled = stored.Disabled
	}
	if step.Fields = differences(stored, changed); len(step.Fields) > 0 {
		step.changed = changed
	}
	missing, compared, err := d.missing(stored)
	if err != nil {
		return err
	}
	if !compared {
		p.Notes = append(p.Notes, fmt.Sprintf("client %s: client_secret is not compared, as the admin API shows no hashes", stored.ID))
	}
	for _, secret := range missing {
		step.secrets = append(step.secrets, secret)
		step.Fields = append(step.Fields, fieldChange{"secrets", "", secret.ID})
	}
	if len(step.Fields) == 0 {
		p.Unchanged++
		return nil
	}
	p.Changes = append(p.Changes, step)
	return nil
}

// print shows the plan.
func (p *plan) print(s *Session) error {
	if s.JSON {
		return s.answer(p)
	}
	var text strings.Builder
	for _, step := range p.Changes {
		text.WriteString(step.String())
	}
	for _, note := range p.Notes {
		text.WriteString(note + "\n")
	}
	text.WriteString(s.Place + ": " + p.summary("to add", "to change", "to delete") + "\n")
	_, err := fmt.Fprint(s.Out, text.String())
	return err
}

func (p *plan) summary(added, changed, deleted string) string {
	count := map[string]int{}
	for _, step := range p.Changes {
		count[step.Action]++
	}
	return fmt.Sprintf("%d %s, %d %s, %d %s, %d unchanged", count["add"], added, count["change"], changed, count["delete"], deleted, p.Unchanged)
}

// String shows the step as plan and apply do.
func (step *planned) String() string {
	sign := map[string]string{"add": "+", "change": "~", "delete": "-"}[step.Action]
	var text strings.Builder
	text.WriteString(sign + " " + step.ID)
	if step.Note != "" {
		text.WriteString(" (" + step.Note + ")")
	}
	text.WriteString("\n")
	for _, f := range step.Fields {
		switch {
		case step.Action == "add":
			text.WriteString("    " + f.Name + ": " + dash(f.To) + "\n")
		case f.Name == "secrets":
			text.WriteString("    secrets: + " + dash(f.To) + "\n")
		default:
			text.WriteString("    " + f.String() + "\n")
		}
	}
	return text.String()
}
