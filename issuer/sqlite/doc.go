// Package sqlite keeps an issuer's clients, revocations and keys in one SQLite file,
// without cgo: the store for one machine.
//
// # Which names first
//
// [Open] is the only one. It returns a [sqlstore.Store], which is what an issuer takes as
// Config.Store, and a registry.Manager for administration. Call registry.Ensure with
// it for the clients that your program needs.
//
// # What is kept
//
// The file holds clients with the hashes of their secrets, the feed of revocations,
// replay records, and the signing keys if [sqlstore.Store.KeyStore] is used. Beside it
// are -wal and -shm while it is open. Back it up with VACUUM INTO or the sqlite3
// program's .backup, not by copying the file alone.
//
// # What is guaranteed
//
//   - A change that was acknowledged survives a crash of the process, the system or the
//     power: WAL mode with synchronous=FULL.
//   - The file is readable by its owner alone. Open refuses one that others can read.
//   - A file that is deleted, replaced or damaged while it is open is an error of every
//     call. It is never created anew in silence.
//   - Several processes of one machine can use the file at once.
//   - A restored backup is recognised: replicas read the feed anew and keep what they
//     know.
//
// # What is not
//
// The file must be on a local file system, because the locks of network file systems
// cannot be trusted. Several machines need PostgreSQL: see package sqlstore. Nothing is
// encrypted but the signing keys.
//
// # Build
//
// The driver, modernc.org/sqlite, takes a minute or two to compile for the first
// time. Programs and test runs that need no SQLite leave it out with -tags nosqlite; Open
// then returns an error.
package sqlite
