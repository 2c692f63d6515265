-- The oldest version whose release can work with these tables; 0 = not before this one. Kept at the latest version alone.
ALTER TABLE m2m_schema ADD COLUMN readable_from BIGINT NOT NULL DEFAULT 0;

-- What a process on SQLite last knew of its clock: what it showed, and what it should have shown, which differ when it has jumped.
CREATE TABLE m2m_clock (
  id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
  wall    BIGINT NOT NULL,
  trusted BIGINT NOT NULL,
  steady  BOOLEAN NOT NULL -- the two do not differ
);
