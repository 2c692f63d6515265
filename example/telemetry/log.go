package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/echo-m2m/m2m/jwks/event"
)

// logger writes events. A flood of bad requests does not flood the log.
type logger struct {
	to      *slog.Logger
	lines   *rate.Limiter
	leftOut atomic.Int64
}

func newLogger(to *slog.Logger) *logger {
	return &logger{to: to, lines: rate.NewLimiter(10, 50)}
}

func (l *logger) write(ctx context.Context, e *event.Event) {
	if l.to == nil {
		return
	}
	level, caller := levelOf(e), classOf(e) == &requests
	if !l.to.Enabled(ctx, level) {
		return
	}
	if caller && level > slog.LevelDebug {
		if !l.lines.Allow() {
			l.leftOut.Add(1)
			return
		}
		if n := l.leftOut.Swap(0); n > 0 {
			l.to.WarnContext(ctx, "events were left out of the log, as there were too many", "events", n)
		}
	}
	l.to.LogAttrs(ctx, level, string(e.Op), e.LogValue().Group()...)
}

// levelOf returns debug for requests that succeed.
func levelOf(e *event.Event) slog.Level {
	switch {
	case e.Reason != "":
		return slog.LevelWarn
	case e.Op == event.OpRevoke:
		return slog.LevelInfo
	case classOf(e) == &requests, e.Op == event.OpRead, e.Op == event.OpFetch, e.Op == event.OpFetchToken:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
