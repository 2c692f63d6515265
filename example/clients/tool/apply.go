package tool

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var applyVerb = Verb{
	Group: groupMany, Name: "apply", Args: "FILE.json [-secrets FILE] [-prune]", Summary: "make the clients what a file says",
	Takes: []string{"file"}, Text: fileText + `
Generated secrets go to the file that -secrets names, a CSV of mode 0600. A secret is
on the disk before the client has it, so a run that is killed loses none: run the
same command again, with the same file, and it finishes. A client that was deleted
meanwhile gets its secret of that file again: name a new file to have a new one.

A client that another call changes after it was compared is left alone and reported
(exit status 1). -prune first disables a client, which is refused if another call has
changed it, and then deletes it. Its JSON is that of plan, with "failed": [{"client_id",
"error"}].`,
	Example: "clients plan clients.json; clients apply clients.json -secrets secrets.csv",
	Setup: func(flags *flag.FlagSet) Action {
		prune := flags.Bool("prune", false, "delete the clients that the file does not name")
		secrets := flags.String("secrets", "", "`FILE` for generated secrets")
		return func(ctx context.Context, s *Session, args []string) error {
			return s.apply(ctx, args[0], *secrets, *prune)
		}
	},
}

// failure is a client that was left as it is.
type failure struct {
	ID    string `json:"client_id"`
	Error string `json:"error"`
}

func (s *Session) apply(ctx context.Context, path, secrets string, prune bool) error {
	p, err := s.makePlan(ctx, path, prune)
	if err != nil {
		return err
	}
	a, err := s.newAdder(secrets)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.prepare(p.added()); err != nil {
		return err
	}
	made, failed := plan{Changes: []*planned{}, Unchanged: p.Unchanged, Notes: p.Notes}, []failure{}
	for _, step := range p.Changes {
		switch err := step.do(ctx, s, a); {
		case err == nil:
			made.Changes = append(made.Changes, step)
			if step.Action == "add" || step.want != nil && changesAudiences(step.Fields) {
				s.warn("clients: "+step.ID, &step.want.client)
			}
			if !s.JSON {
				_, _ = fmt.Fprint(s.Out, step.String()) // the change is made, whether it can be printed or not
			}
		case refusedOne(err):
			failed = append(failed, failure{step.ID, step.reason(err)})
			fmt.Fprintf(s.Err, "clients: %s: %s\n", step.ID, step.reason(err))
		default:
			return fmt.Errorf("%s: stopped at client %s; run the same command again to finish: %w", s.Place, step.ID, err)
		}
	}
	if s.JSON {
		err = s.answer(struct {
			plan
			Failed []failure `json:"failed"`
		}{made, failed})
	} else {
		for _, note := range p.Notes {
			fmt.Fprintln(s.Out, note)
		}
		_, err = fmt.Fprintf(s.Out, "%s: %s\n", s.Place, made.summary("added", "changed", "deleted"))
	}
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("%s: %d clients were left as they are", s.Place, len(failed))
	}
	return err
}

// added returns the clients that the plan adds.
func (p *plan) added() (clients []*desired) {
	for _, step := range p.Changes {
		if step.Action == "add" {
			clients = append(clients, step.want)
		}
	}
	return clients
}

// do makes the step. It may be repeated after a crash. After a conflict it compares the
// client once more: the last change of a killed run may have been made late, and then the
// client is what the file says.
func (step *planned) do(ctx context.Context, s *Session, a *adder) (err error) {
	switch step.Action {
	case "add":
		err = a.add(ctx, step.want)
	case "delete":
		return step.prune(ctx, s)
	default:
		err = step.change(ctx, s)
	}
	if !errors.Is(err, registry.ErrConflict) {
		return err
	}
	var now plan
	if again := now.compare(ctx, s, step.want); again == nil && len(now.Changes) == 0 {
		return nil
	}
	return err
}

func (step *planned) change(ctx context.Context, s *Session) error {
	if step.changed != nil {
		if _, err := s.Update(ctx, *step.changed); err != nil {
			return err
		}
	}
	for _, secret := range step.secrets {
		if err := s.AddSecret(ctx, step.ID, secret); err != nil {
			return err
		}
	}
	return nil
}

// prune disables the client, which compares its version, and then deletes it, which does
// not.
func (step *planned) prune(ctx context.Context, s *Session) error {
	off := step.stored.Clone()
	off.Disabled = true
	_, err := s.Update(ctx, *off)
	if errors.Is(err, registry.ErrConflict) {
		if now, again := s.Client(ctx, step.ID); again == nil && now.Disabled && len(differences(off, now)) == 0 {
			err = nil
		}
	}
	if err == nil {
		err = s.Delete(ctx, step.ID)
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// reason says why a step was refused.
func (step *planned) reason(err error) string {
	switch {
	case errors.Is(err, registry.ErrConflict) && step.Action == "add":
		return "another call has added it meanwhile: see clients plan"
	case errors.Is(err, registry.ErrConflict):
		return "another call has changed it meanwhile: see clients plan"
	case errors.Is(err, registry.ErrNotFound):
		return "another call has deleted it meanwhile: see clients plan"
	}
	return plain(err).Error()
}
