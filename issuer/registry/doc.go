// Package registry is what storage keeps for an issuer: clients and their
// secrets, the feed of changes that replicas follow, and replay records. It
// imports no web framework and no JOSE library, so neither does a store.
//
// # Which names first
//
// A [Client] is a program that may get tokens. Most programs call [Ensure] at each
// start for the clients they need. The first call returns the client's secret, once;
// after a restart it returns "" and changes nothing. A new secret for a client comes
// from RotateSecret of its [Manager].
//
// Three stores are ready-made. [Memory] is for tests and for programs whose clients
// are configuration. Package sqlite keeps a file on one machine. Package sqlstore uses
// PostgreSQL, for any number of replicas. All three are a [Manager].
//
// # Secrets
//
// A store keeps hashes, never secrets. [GenerateSecret] makes a secret of 256 random
// bits, which needs no slow hash. [HashSecret] takes one that a person chose, and
// [ImportSecret] takes a hash that another system made. Secrets of the last two
// kinds get tokens only with Config.ImportedSecrets of package issuer.
//
// A client may have several secrets at once. To replace one without downtime, call
// RotateSecret with an Overlap, deploy the new secret, and check LastUsedAt of the
// old one before it expires.
//
// # Other credentials
//
// A client can have public keys instead (JWKS or JWKSURI), the subject of a certificate
// (one of the fields TLSClientAuth…), or the tokens of another issuer ([Workload]). A
// record may have several of them, and secrets too, while a client moves from one to
// another. AuthMethod then ends the move: it is the only way left. To take a key away
// from a client, write JWKS without it. Tokens that it got stay valid until they are
// revoked, as with a secret.
//
// # The feed
//
// Every change of a client, and every revocation, adds a [Change] to the feed. Each has
// a greater sequence than all before it. An issuer polls the feed and so follows
// within 2 s. A cut-off with sequence S refuses the tokens that were granted by a
// replica which had not read the feed up to S, whatever the clocks show.
//
// # What is guaranteed
//
//   - A change that was acknowledged survives a crash, and its entry in the feed is
//     written in the same step. [Memory] is the exception: it ends with its process.
//   - An error other than [ErrNotFound], [ErrConflict], [ErrInvalid] and
//     [ErrClockSkew] means that the store cannot tell. It is never an answer.
//   - Once returns true to one caller, whatever the number of replicas.
//   - A clock that jumps destroys nothing; see [MaxClockSkew] and [Page].Now.
//
// # What is not
//
// Nothing here checks how hard a chosen secret is to guess, that audiences are URIs, or
// that a client's id differs from the ids of users.
//
// # A store of your own
//
// Implement the four methods of [Store]. Add those of [Manager] for administration, and
// [UseRecorder], [NetworkRecorder], [NetworkLister] or [Checker] where the store can
// do what they say. Package storetest tests all of it.
package registry
