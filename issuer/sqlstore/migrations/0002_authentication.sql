-- How a client authenticates beside its secrets, and how its tokens are bound: a JSON object, see authentication.go. An older
-- release leaves it as it is when it writes a client. A later release that keeps more adds a column of its own, because this
-- one replaces the whole object.

ALTER TABLE m2m_clients ADD COLUMN authentication TEXT NOT NULL DEFAULT '{}';
