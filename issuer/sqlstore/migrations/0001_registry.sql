-- Times are unix milliseconds, 0 = none. Lists are JSON arrays of strings. Written as for PostgreSQL; dialect.go says what
-- becomes of it on SQLite.

CREATE TABLE m2m_clients (
  id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name             TEXT NOT NULL,
  disabled         BOOLEAN NOT NULL,
  auth_method      TEXT NOT NULL,
  scopes           TEXT NOT NULL,
  audiences        TEXT NOT NULL,
  default_audience TEXT NOT NULL,
  token_ttl        BIGINT NOT NULL, -- seconds
  introspects      TEXT NOT NULL,
  search           TEXT NOT NULL, -- id and name in lower case
  metadata         TEXT NOT NULL DEFAULT '{}', -- a JSON object of strings
  version          BIGINT NOT NULL,
  created_at       BIGINT NOT NULL,
  updated_at       BIGINT NOT NULL
);

CREATE TABLE m2m_secrets (
  client_id    TEXT COLLATE "C" NOT NULL REFERENCES m2m_clients (id),
  id           TEXT COLLATE "C" NOT NULL,
  position     BIGINT NOT NULL, -- order among the client's
  hash         TEXT NOT NULL,
  label        TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  expires_at   BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  PRIMARY KEY (client_id, id)
);
CREATE INDEX m2m_secrets_expires_at ON m2m_secrets (expires_at) WHERE expires_at > 0;

-- One row for what is revoked, however often it is: with the place of the last time.
CREATE TABLE m2m_feed (
  seq        BIGINT NOT NULL PRIMARY KEY,
  token_id   TEXT COLLATE "C" NOT NULL, -- a secret's id, of a cut-off; '' = all of the client's
  client_id  TEXT COLLATE "C" NOT NULL, -- '' = all clients'
  cutoff     BOOLEAN NOT NULL,
  expires_at BIGINT NOT NULL,
  UNIQUE (token_id, client_id, cutoff)
);
CREATE INDEX m2m_feed_expires_at ON m2m_feed (expires_at);
-- For the entries that a cut-off of their client replaces.
CREATE INDEX m2m_feed_tokens ON m2m_feed (client_id) WHERE token_id <> '' AND NOT cutoff;

-- Its row is locked from the taking of a number to the commit, so numbers become visible in their order.
CREATE TABLE m2m_feed_seq (
  id  BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  seq BIGINT NOT NULL
);
INSERT INTO m2m_feed_seq (id, seq) VALUES (1, 0);

CREATE TABLE m2m_once (
  digest     BYTEA NOT NULL PRIMARY KEY, -- SHA-256 of scope and id
  expires_at BIGINT NOT NULL
);
CREATE INDEX m2m_once_expires_at ON m2m_once (expires_at);

-- The keyring, sealed.
CREATE TABLE m2m_keys (
  id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  state BYTEA NOT NULL
);

-- The networks from which a client succeeded with a chosen secret.
CREATE TABLE m2m_networks (
  client_id    TEXT COLLATE "C" NOT NULL,
  network      TEXT COLLATE "C" NOT NULL,
  succeeded_at BIGINT NOT NULL,
  PRIMARY KEY (client_id, network)
);
CREATE INDEX m2m_networks_succeeded_at ON m2m_networks (succeeded_at);

-- What a process last knew of the clock that decides: what it showed, and what it should have shown, which differ when it has jumped.
CREATE TABLE m2m_clock (
  id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  wall    BIGINT NOT NULL,
  trusted BIGINT NOT NULL,
  steady  BOOLEAN NOT NULL -- the two do not differ
);
