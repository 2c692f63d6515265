package telemetry

import (
	"slices"
	"strconv"
	"sync"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Values of labels that are no names.
const (
	ok    = "ok"    // no Reason: it succeeded
	other = "other" // not in the closed list, or beyond the limit
)

// clients gives a label to a limited number of clients.
type clients struct {
	limit int
	mu    sync.RWMutex
	names map[string]bool
}

// label is the id of the client that acted, or other for a new one beyond the
// limit. It is empty when no client authenticated: a claimed id is never a label.
func (c *clients) label(e *event.Event) string {
	if e.ClientID == "" || e.Claimed {
		return ""
	}
	c.mu.RLock()
	known, full := c.names[e.ClientID], len(c.names) >= c.limit
	c.mu.RUnlock()
	switch {
	case known:
		return e.ClientID
	case full:
		return other
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.names[e.ClientID] && len(c.names) >= c.limit {
		return other
	}
	c.names[e.ClientID] = true
	return e.ClientID
}

var (
	knownOps = []event.Op{
		event.OpToken, event.OpRevoke, event.OpIntrospect, event.OpRequest,
		event.OpRegister, event.OpUpdate, event.OpDelete, event.OpRead, event.OpRotateSecret, event.OpAddSecret, event.OpRemoveSecret, event.OpRevokeClient,
		event.OpRotateKey, event.OpKeyStore, event.OpFetch, event.OpFollow, event.OpRecord, event.OpConfig, event.OpFetchToken, event.OpReplay,
	}
	knownReasons = event.Reasons()

	// knownCodes are those of the library's answers, and of the RFCs it follows.
	knownCodes = []string{
		// RFC 6749, section 5.2
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"invalid_token", "insufficient_scope", // RFC 6750, section 3.1
		"invalid_target",                                           // RFC 8707, section 2
		"unsupported_token_type",                                   // RFC 7009, section 2.2.1
		"insufficient_user_authentication",                         // RFC 9470, section 3
		"invalid_dpop_proof",                                       // RFC 9449, section 5
		"access_denied", "server_error", "temporarily_unavailable", // RFC 6749, section 4.1.2.1
		"not_found", "conflict", "invalid_client_metadata", // the admin API
	}
)

func opLabel(op event.Op) string {
	if slices.Contains(knownOps, op) {
		return string(op)
	}
	return other
}

func reasonLabel(r event.Reason) string {
	switch {
	case r == "":
		return ok
	case slices.Contains(knownReasons, r):
		return string(r)
	}
	return other
}

// codeLabel bounds the codes, as an app's own check may answer any.
func codeLabel(code string) string {
	if code == "" || slices.Contains(knownCodes, code) {
		return code
	}
	return other
}

func statusLabel(status int) string {
	switch {
	case status == 0:
		return ""
	case status >= 100 && status <= 599:
		return strconv.Itoa(status)
	}
	return other
}

// outcomeLabel tells failures of this side from refusals, which are the caller's.
func outcomeLabel(e *event.Event) string {
	switch {
	case e.Reason == "":
		return ok
	case e.Status >= 400 && e.Status <= 499:
		return "refused"
	}
	return "failed"
}
