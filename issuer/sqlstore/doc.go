// Package sqlstore keeps an issuer's clients, their secrets, revocations, replay
// records and keys in SQLite or PostgreSQL.
//
// [Open] takes a driver of the program's choice and a data source name, finds out
// which database it is and brings its tables, all named m2m_…, up to date. For
// SQLite, call the Open of package sqlite with a path instead. The [Store] is for
// issuer.Config, and is a [registry.Manager] with the verbs of administration.
//
// # What a replica can rely on
//
// A write that has returned nil is committed: as durable as the database is set
// up to make it. Every change of a client, a secret's included, adds an entry to
// the feed in the same step, so no replica keeps an old record for long. On
// PostgreSQL a step is one statement: a process that is frozen or loses its way to
// the database in the middle of a write holds up no other. Entries become visible in
// the order of their sequence, on PostgreSQL too.
// Every method ends when its context does. An argument that is not valid is
// [registry.ErrInvalid]. Any other error that is neither [registry.ErrNotFound],
// [registry.ErrConflict] nor [registry.ErrClockSkew] means that the database could not
// do it: it was away or slow, takes no writes, is full or damaged, which the error and
// [Store.Status] say. Reads go on while writes fail.
//
// Expired rows are deleted in the background, in small batches, after writes, and
// late: revocations and replay records a day after they expired, networks 30 days,
// secrets 90 days.
//
// A database that is set back, by a restored backup or a failover that lost commits,
// ends its feed at a lower number than replicas have read: Page.End is below since.
// What is written then has a number above all that were ever given, as numbers follow
// the clock.
//
// After a timeout the connections that are not in use are closed, so that a
// failover which nobody announced costs one timeout and not one for each of them.
//
// # Clocks
//
// On PostgreSQL the database's clock decides what has expired, and when an overlap of
// secrets ends. It can be wrong too, so nothing is deleted while it differs from this
// machine's, and only what has expired by both. A cut-off lasts by the later of them.
// When the database's clock jumps against the monotonic clock of this process, or shows
// at Open that the database was not written for more than a day, nothing is deleted that
// expired by the jump until it has run evenly for a day.
//
// Sequences follow the database's clock too, and so do the times of records. No clock of
// a process shortens a revocation. Each read of the feed compares the database's clock
// with this machine's. While that is off by more than [registry.MaxClockSkew], this
// process writes nothing ([registry.ErrClockSkew]) but what takes access away, and
// [Store.Ready] and [Store.Status] say so. Times that callers give, such as the until of
// a replay record, are kept in milliseconds, rounded up. Give until a margin of
// MaxClockSkew.
//
// On SQLite the clock is the machine's. When it jumps against the monotonic clock, or
// shows at Open that the database was not written for more than a day, it is not
// trusted until it has run evenly for a day. Until then the later of what it shows and
// what it should show decides what has expired, and the earlier what is deleted. So a
// clock that is wrong for a moment destroys nothing, and when it is right again all is
// as it was.
//
// # Upgrades
//
// Migrations only add. The tables say which release can read them, so that a replica
// of an older release works on, and starts, while others are replaced. A release
// refuses tables that it cannot read.
//
// # PgBouncer
//
// With pool_mode = session everything works. With pool_mode = transaction, and pgx,
// add default_query_exec_mode=exec (or simple_protocol) to the DSN: pgx's default
// prepares statements, which another server connection does not have. The limits that
// [Open] sets on each connection then reach whichever server connection it is given,
// so set them by ALTER ROLE … SET as well (statement_timeout, lock_timeout,
// idle_in_transaction_session_timeout). The store needs up to MaxConns server
// connections: a default_pool_size below that lets requests delay the follower.
// pool_mode = statement does not work. Tested with PgBouncer 1.18.
package sqlstore
