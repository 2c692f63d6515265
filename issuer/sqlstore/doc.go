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
// Every method ends when its context does, and an error that is neither
// [registry.ErrNotFound] nor [registry.ErrConflict] means that the database could
// not do it, or that the arguments are wrong, which is then what the error says.
//
// Expired rows are deleted in the background, in small batches, after writes:
// revocations and secrets a day after they have expired, networks after 30 days.
//
// After a timeout the connections that are not in use are closed, so that a
// failover which nobody announced costs one timeout and not one for each of them.
//
// # Clocks
//
// The database's clock decides what has expired, what is deleted, and when an
// overlap of secrets ends; on SQLite it is the machine's. Sequences follow it too.
// No clock of a process takes part in a revocation. Times that callers give, such as
// the until of a replay record, are kept in milliseconds, rounded up. Not checked:
// that the callers' clocks agree with the database's, so give until a margin as
// large as they may differ.
package sqlstore
