package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog" //nolint:depguard // a panic of Observe cannot be reported through Observe
	"runtime"
	"runtime/debug"
)

// errAborted is the error of a fetch in which the app's code panicked or ended its
// goroutine.
var errAborted = errors.New("outbound: a func of the Config, a key, or the Transport of Config.HTTP panicked, or ended its goroutine: the log has the stack of a panic")

// observe calls an observer. If it panics, the fetch or the request goes on.
func observe(ctx context.Context, observer func(context.Context, Event), e Event) {
	defer func() { caught(ctx, "Config.Observe", recover()) }()
	observer(ctx, e)
}

// caught logs a panic of the app's code. In the goroutine of a fetch it would end the
// program. The value is not logged unless it is the runtime's: it may hold a secret.
func caught(ctx context.Context, what string, value any) {
	if value == nil {
		return
	}
	defer func() { _ = recover() }() // of the log's handler
	text := fmt.Sprintf("a %T", value)
	if fault, ok := value.(runtime.Error); ok {
		text = fault.Error()
	}
	slog.Default().ErrorContext(ctx, "outbound: "+what+" panicked", "panic", text, "stack", string(debug.Stack()))
}
