package outbound

import (
	"context"
	"errors"
	"fmt"
)

var errRefusedToken = errors.New("outbound: an API refused the token that is held")

// Ready returns nil if a token is held that no API has refused, and fetches one if not. Use
// it in a readiness endpoint, or to fetch before the first request.
//
// It is of this Source alone: each Source of For has its own. It counts as a use of the
// token, which is then kept fresh: about ten fetches an hour with tokens of 15 min. Without
// a token it waits for a fetch, and for a retry that begins within Config.Timeout, so give
// the probe more time or the context a deadline. The error names hosts and paths: it is for
// the log and not for the answer.
func (s *Source) Ready(ctx context.Context) error {
	h, err := s.held(ctx)
	if err != nil || !h.refused.Load() {
		return err
	}
	c := s.cell.Load()
	if next := c.replace(ctx, h, true); next != nil && !next.refused.Load() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return c.left(err)
	}
	if err := c.latestError(); err != nil {
		return fmt.Errorf("%w, and there is no other: %w", errRefusedToken, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errRefusedToken)
}
