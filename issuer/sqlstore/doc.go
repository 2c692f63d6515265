// Package sqlstore keeps an issuer's clients, their secrets, revocations, replay
// records and keys in PostgreSQL or SQLite.
//
// # Which names first
//
// [Open] takes a [Config] with the name of a driver and a data source name. It finds
// out which database that is, and creates or updates its tables, all named m2m_…. For
// SQLite call Open of package sqlite instead, with a path. The [Store] is what an issuer
// takes as Config.Store, and a [registry.Manager] for administration. Call
// [registry.Ensure] with it for the clients that your program needs.
//
// [Store.KeyStore] keeps the signing keys in the same database. [Store.Ready] and
// [Store.Status] are for health checks.
//
// # What is guaranteed
//
// A write that has returned nil is committed. It is as durable as the database is
// configured to make it.
//
// Every change of a client, or of one of its secrets, adds an entry to the feed in the
// same step, so no replica keeps an old record for long. Entries become visible in
// the order of their sequences, on PostgreSQL too.
//
// On PostgreSQL a step is one statement. A process that is frozen or loses its
// connection in the middle of a write holds up no other.
//
// Every method ends when its context does. An invalid argument is
// [registry.ErrInvalid]. Any other error that is neither [registry.ErrNotFound],
// [registry.ErrConflict] nor [registry.ErrClockSkew] means that the database could not
// do it: it was away or slow, takes no writes, is full or is damaged. The error and
// [Store.Status] say which. Reads go on while writes fail.
//
// # What is not
//
// The store does not check that a commit is durable: leave synchronous_commit on. It
// cannot use a replica of PostgreSQL that only reads, nor a proxy that spreads reads
// over such replicas. It encrypts nothing but the signing keys.
//
// # Expiry
//
// Expired rows are deleted in the background, in small batches, after writes, and
// late: revocations and replay records after a day, networks after 30 days, secrets
// after 90 days.
//
// # Restored backups and failovers
//
// A restored backup, or a failover that lost commits, sets the feed back: it ends at a
// lower sequence than replicas have read, so Page.End is below since. New entries
// still get sequences above all earlier ones, because sequences follow the clock.
//
// After a timeout the store closes its idle connections. A failover that was not
// announced therefore costs one timeout, not one for each connection.
//
// # Clocks
//
// On PostgreSQL the database's clock decides what has expired, and when an overlap of
// secrets ends. It can be wrong too. So nothing is deleted while it differs from this
// machine's clock, and only what has expired by both. A cut-off lasts until the later of
// the two. The database's clock has jumped when it differs from the monotonic
// clock of this process, or when at Open it shows more than a day since the last write.
// Then nothing that expired by the jump is deleted until the clock has run evenly for a
// day.
//
// Sequences and the times of records follow the database's clock too. No clock of a
// process shortens a revocation. Each read of the feed compares the database's clock
// with this machine's. While they differ by more than [registry.MaxClockSkew], this
// process refuses writes with [registry.ErrClockSkew], except those that only take
// access away. [Store.Ready] and [Store.Status] say so. Times that callers give, such
// as until of Once, are kept in milliseconds, rounded up. Give until a margin of
// MaxClockSkew.
//
// On SQLite the clock is the machine's. After a jump, as defined above, it is not
// trusted until it has run evenly for a day. Until then the store works with two times:
// what the clock shows, and what it should show. The later one decides what has expired.
// The earlier one decides what is deleted. So a clock that is wrong for a moment destroys
// nothing.
//
// # Upgrades
//
// Migrations only add. The tables record which releases can read them. So a replica of
// an older release keeps working, and can start, while others are replaced. A release
// refuses tables that it cannot read.
//
// # PgBouncer
//
// With pool_mode = session everything works. With pool_mode = transaction and pgx,
// add default_query_exec_mode=exec (or simple_protocol) to the DSN, because pgx by default
// prepares statements, which another server connection does not have. The limits that
// [Open] sets on each connection then apply to an arbitrary server connection. So
// set them by ALTER ROLE … SET as well: statement_timeout, lock_timeout and
// idle_in_transaction_session_timeout. The store needs up to MaxConns server
// connections: with a lower default_pool_size, requests delay the follower.
// pool_mode = statement does not work. Tested with PgBouncer 1.18.
package sqlstore
