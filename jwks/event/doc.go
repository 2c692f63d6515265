// Package event has the one type of event that every package of this module reports, so
// one observer serves the issuer, the guard, the keyring and the fetcher.
//
// An observer is a func(context.Context, [Event]). [Log] is one: it writes to log/slog.
// It runs in the goroutine that reports, before a request is answered. So it must be
// quick, and safe for concurrent use.
//
// # Two kinds
//
// Events of requests are about one request: a token was granted, a caller was refused, a
// client was changed. Without an observer they are not made and cost nothing.
//
// Events of the background are about a change of state: a store or an issuer does not
// answer, keys cannot be written, a clock is off, a feed was set back, and the end of
// each. Without an observer they are logged to [slog.Default], unless the field Quiet
// beside Observe is set. An observer gets both kinds, and nothing is logged besides.
//
// # Use
//
// Err and the text of a claimed id are for logs. Op and [Reason] come from closed lists,
// so they fit as labels of metrics. [Event].ClientID fits too, unless Claimed is set.
// An Event holds no token, no secret and no key, but Err says why something failed: do
// not show it to callers.
package event
