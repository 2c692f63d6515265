package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// maxNetwork is the greatest length of a network's name.
const maxNetwork = 64

const deleteNetworks = "DELETE FROM m2m_networks WHERE client_id = $1 AND GUARD"

// Succeeded records from which networks clients have authenticated, and when last. It
// keeps the latest 16 networks of a client. Clients that do not exist are ignored. After
// an error some of them may have been recorded.
func (s *Store) Succeeded(ctx context.Context, successes []registry.ClientNetwork) error {
	if err := s.ready(); err != nil {
		return wrap("keeping networks", err)
	}
	latest := make(map[[2]string]registry.ClientNetwork, len(successes))
	for _, n := range successes {
		key := [2]string{n.ClientID, n.Network}
		if known, ok := latest[key]; (!ok || known.At.Before(n.At)) && maybeID(n.ClientID) && len(n.Network) <= maxNetwork && storable(n.Network) {
			latest[key] = n
		}
	}
	batch := make([]registry.ClientNetwork, 0, len(latest))
	for _, n := range latest {
		batch = append(batch, n)
	}
	slices.SortFunc(batch, func(a, b registry.ClientNetwork) int {
		return cmp.Or(cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Network, b.Network))
	})
	if err := s.mayWrite(ctx, s.requests); err != nil {
		return wrap("keeping networks", err)
	}
	for part := range slices.Chunk(batch, usesInOne) {
		if err := s.succeeded(ctx, part); err != nil {
			return wrap("keeping networks", err)
		}
	}
	return nil
}

// succeeded adds the networks in their order, and then removes those above the limit.
// It locks the clients, so that none is deleted meanwhile.
func (s *Store) succeeded(ctx context.Context, successes []registry.ClientNetwork) error {
	rows := make([][3]any, 0, len(successes))
	for _, n := range successes {
		rows = append(rows, [3]any{n.ClientID, n.Network, millis(n.At)})
	}
	list, args := valueList(rows)
	_, err := s.execute(ctx, s.requests, `
WITH given (client_id, network, at) AS (VALUES `+list+`), now (ms) AS (SELECT NOW_MS),
used (client_id, network, at) AS (SELECT client_id, network, CASE WHEN at > now.ms THEN now.ms ELSE at END FROM given, now),
locked AS (SELECT id FROM m2m_clients WHERE id IN (SELECT client_id FROM used) ORDER BY id FOR UPDATE)
INSERT INTO m2m_networks (client_id, network, succeeded_at)
SELECT used.client_id, used.network, used.at FROM used JOIN locked ON locked.id = used.client_id WHERE TRUE ORDER BY used.client_id, used.network
ON CONFLICT (client_id, network) DO UPDATE SET succeeded_at = excluded.succeeded_at
  WHERE m2m_networks.succeeded_at < excluded.succeeded_at OR m2m_networks.succeeded_at > (SELECT ms FROM now)`, args...)
	if err != nil {
		return err
	}
	_, err = s.execute(ctx, s.requests, `
WITH used (client_id, network, at) AS (VALUES `+list+`),
ranked AS (SELECT client_id, network, ROW_NUMBER() OVER (PARTITION BY client_id ORDER BY CASE WHEN succeeded_at > (SELECT NOW_MS) THEN 0 ELSE succeeded_at END DESC, network) AS place
  FROM m2m_networks WHERE client_id IN (SELECT client_id FROM used))
DELETE FROM m2m_networks WHERE (client_id, network) IN (SELECT client_id, network FROM ranked WHERE place > `+strconv.Itoa(registry.MaxNetworks)+`)`, args...)
	return err
}

// Networks returns the networks from which the client has authenticated in the last 30
// days, at most 16, the latest first.
func (s *Store) Networks(ctx context.Context, clientID string) (networks []string, err error) {
	if err := s.ready(); err != nil {
		return nil, wrap("reading networks", err)
	}
	if !maybeID(clientID) {
		return nil, nil
	}
	err = s.query(ctx, s.requests, func(rows *sql.Rows) error {
		for rows.Next() {
			var network string
			if err := rows.Scan(&network); err != nil {
				return err
			}
			networks = append(networks, network)
		}
		return nil
	}, "SELECT network FROM m2m_networks WHERE client_id = $1 AND succeeded_at > (SELECT NOW_MS) - $2 ORDER BY succeeded_at DESC, network LIMIT $3",
		clientID, registry.NetworkLifetime.Milliseconds(), registry.MaxNetworks)
	return networks, wrap("reading networks", err)
}
