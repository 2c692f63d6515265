package doctor_test

import (
	"context"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/example/doctor"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
)

// stated is a store with the state of a database.
type stated struct {
	registry.Manager
	state sqlstore.Status
}

func (s stated) Status() sqlstore.Status     { return s.state }
func (s stated) Ready(context.Context) error { return nil }

// TestDatabaseStates reports each state of a database that needs attention, also if the
// store says that it is ready.
func TestDatabaseStates(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *sqlstore.Status)
		want   found
		status int
	}{
		"all well":                     {func(*sqlstore.Status) {}, found{doctor.Good, "store", "PostgreSQL answers, with tables of version 3"}, doctor.StatusGood},
		"newer tables":                 {func(s *sqlstore.Status) { s.Schema = 4 }, found{doctor.Notice, "store", "tables of version 4"}, doctor.StatusGood},
		"read-only":                    {func(s *sqlstore.Status) { s.ReadOnly = true }, found{doctor.Wrong, "store", "takes no writes"}, doctor.StatusWrong},
		"damaged":                      {func(s *sqlstore.Status) { s.Damaged = errAway }, found{doctor.Wrong, "store", "away"}, doctor.StatusWrong},
		"another file":                 {func(s *sqlstore.Status) { s.FileError = errAway }, found{doctor.Wrong, "store", "away"}, doctor.StatusWrong},
		"no write":                     {func(s *sqlstore.Status) { s.WriteError = errAway }, found{doctor.Wrong, "store", "away"}, doctor.StatusWrong},
		"a feed that is ahead":         {func(s *sqlstore.Status) { s.Ahead = time.Hour }, found{doctor.Notice, "clock", "ahead of the clock"}, doctor.StatusGood},
		"a clock that jumped":          {func(s *sqlstore.Status) { s.Dialect, s.ClockOffset = "SQLite", -time.Hour }, found{doctor.Notice, "clock", "has moved by -1h"}, doctor.StatusGood},
		"a database clock that jumped": {func(s *sqlstore.Status) { s.DatabaseClockJump = 2 * time.Hour }, found{doctor.Notice, "clock", "database's clock has jumped by 2h"}, doctor.StatusGood},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			memory, err := registry.NewMemory(client())
			if err != nil {
				t.Fatal(err)
			}
			state := sqlstore.Status{Dialect: "PostgreSQL", Schema: 3, Release: 3}
			tt.change(&state)
			w.store = stated{memory, state}
			w.serve(t)
			r := doctor.Check(t.Context(), w.setup)
			if !says(r, tt.want.severity, tt.want.check, tt.want.text) || r.Status() != tt.status {
				t.Errorf("status %d, want %d with %v %q:\n%s", r.Status(), tt.status, tt.want.severity, tt.want.text, written(t, r))
			}
		})
	}
}
