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
// the feed in the same transaction, so no replica keeps an old record for long.
// Entries become visible in the order of their sequence, on PostgreSQL too.
// Every method ends when its context does, and an error that is neither
// [registry.ErrNotFound] nor [registry.ErrConflict] means that the database could
// not do it, or that the arguments are wrong, which is then what the error says.
//
// Expired rows are deleted in the background, in small batches, after writes.
//
// # Clocks
//
// Expiry is decided by the clock of the process that asks, in milliseconds,
// rounded up. Not checked: that the replicas' clocks agree. One that is ahead by
// a second takes a replay record as expired a second early, so give until a
// margin as large as the clocks may differ.
package sqlstore
