-- A JSON object of strings.
ALTER TABLE m2m_clients ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
