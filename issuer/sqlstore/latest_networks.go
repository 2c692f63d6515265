package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

var _ registry.NetworkLister = (*Store)(nil)

// LatestNetworks returns the latest networks of all clients in the last 30 days, up
// to the limit, the latest first.
func (s *Store) LatestNetworks(ctx context.Context, limit int) (all []registry.ClientNetwork, err error) {
	if err := s.ready(); err != nil {
		return nil, wrap("reading networks", err)
	}
	err = s.query(ctx, s.requests, func(rows *sql.Rows) error {
		for rows.Next() {
			var n registry.ClientNetwork
			var at int64
			if err := rows.Scan(&n.ClientID, &n.Network, &at); err != nil {
				return err
			}
			n.At = time.UnixMilli(at)
			all = append(all, n)
		}
		return rows.Err()
	}, "SELECT client_id, network, succeeded_at FROM m2m_networks WHERE succeeded_at > (SELECT NOW_MS) - $1 ORDER BY succeeded_at DESC, client_id, network LIMIT $2",
		registry.NetworkLifetime.Milliseconds(), max(0, limit))
	return all, wrap("reading networks", err)
}
