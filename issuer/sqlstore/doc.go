// Package sqlstore keeps an issuer's clients, their secrets, revocations, replay
// records and keys in SQLite or PostgreSQL.
//
// [New] takes a database that the program opened with a driver of its choice,
// finds out which it is and brings its tables, all named m2m_…, up to date.
// Package sqlite opens a file instead. The [Store] is an [registry.Store] for
// issuer.Config, and a registry with the verbs that an administrator needs.
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
// Expired rows are removed by the way, in small steps, some time after a write.
//
// # Clocks
//
// Expiry goes by the clock of the process that asks, in milliseconds, rounded
// up. Not checked: that the replicas' clocks agree. One that is ahead by a
// second takes a replay record as expired a second early, so give until a margin
// as large as the clocks may differ.
package sqlstore
