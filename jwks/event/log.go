package event

import (
	"context"
	"log/slog"
)

// Background returns the observer of what happens in the background, such as a
// store that cannot be followed: observe if it is set, else one that logs to
// [slog.Default], or nil if quiet. It is for changes of state, not for every repetition.
func Background(observe func(context.Context, Event), quiet bool) func(context.Context, Event) {
	switch {
	case observe != nil:
		return observe
	case quiet:
		return nil
	}
	return Log
}

// Log writes an event to [slog.Default]: as a warning if it has a Reason, and as
// information if not. The message is its Op. The end of trouble in the background has
// the attribute state="works again".
func Log(ctx context.Context, e Event) {
	level, attrs := slog.LevelWarn, e.LogValue().Group()
	if e.Reason == "" {
		level = slog.LevelInfo
		if e.Op == OpKeyStore || e.Op == OpFollow || e.Op == OpRecord {
			attrs = append(attrs, slog.String("state", "works again"))
		}
	}
	slog.Default().LogAttrs(ctx, level, string(e.Op), attrs...)
}

// LogValue returns the fields that are not zero, Op excepted, for package slog.
func (e Event) LogValue() slog.Value {
	var attrs []slog.Attr
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	text("reason", string(e.Reason))
	if e.Status != 0 {
		attrs = append(attrs, slog.Int("status", e.Status))
	}
	text("code", e.Code)
	if e.Claimed {
		text("claimed_client_id", e.ClientID)
	} else {
		text("client_id", e.ClientID)
	}
	text("token_id", e.TokenID)
	text("secret_id", e.SecretID)
	if len(e.Audience) > 0 {
		attrs = append(attrs, slog.Any("audience", e.Audience))
	}
	if len(e.Scopes) > 0 {
		attrs = append(attrs, slog.Any("scopes", e.Scopes))
	}
	text("target", e.Target)
	text("key_id", e.KeyID)
	text("url", e.URL)
	if e.Duration != 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}
