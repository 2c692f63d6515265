-- The networks from which a client succeeded with a chosen secret. A client that is deleted by an older release leaves its rows,
-- which a registration of the id removes.
CREATE TABLE m2m_networks (
  client_id    TEXT COLLATE "C" NOT NULL,
  network      TEXT COLLATE "C" NOT NULL,
  succeeded_at BIGINT NOT NULL,
  PRIMARY KEY (client_id, network)
);
CREATE INDEX m2m_networks_succeeded_at ON m2m_networks (succeeded_at);

-- For the entries that a cut-off of their client replaces.
CREATE INDEX m2m_feed_tokens ON m2m_feed (client_id) WHERE token_id <> '' AND NOT cutoff;
