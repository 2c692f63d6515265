// Package issuer grants OAuth 2.0 access tokens to programs: the client
// credentials grant of RFC 6749, section 4.4, with tokens in the form of RFC 9068.
//
// [New] makes an [Issuer] of a keyring (package jwks) and a store of clients
// (package registry). [Issuer.Handler] serves its endpoints with net/http,
// [Issuer.Mount] puts them on an Echo app. A client authenticates with a secret
// and gets a token that lives for minutes, says which APIs it is for (aud) and
// what it may do there (scope), and that every holder of the public keys can
// verify without asking back. Granting a token writes nothing to the store.
//
// Package issuer/admin manages the clients by a JSON API.
//
// # What is granted
//
// The audience is what the client asks for in resource parameters (RFC 8707),
// or its only audience, or its default one. The scope is what it asks for, all
// of which it must be allowed, or everything it is allowed there. The answer
// states both; there is no token without an audience.
//
// # What a refusal says
//
// Errors have the form of RFC 6749, section 5.2. An unknown client, a wrong
// secret, an expired one and a disabled client are one answer, at one cost: 401,
// with a challenge that repeats error and error_description, also for a client that
// sends its secret in the body (RFC 9110, section 15.5.2). A body over a limit, here
// or in front, is 413, a compressed one 415. A header or parameter without a value
// is absent. A failure on this side is 503 or 500, never the client's fault. Causes
// are reported to [Config].Observe alone, as one [Event] per request with a reason
// from the list in package jwks/event.
//
// # Clocks
//
// Where the store has a clock of its own (PostgreSQL), each poll compares. While this
// machine's clock is off by more than a minute, the issuer grants nothing and
// introspects nothing (503), and [Issuer.Ready] says so: by a clock that is ahead
// tokens would live for longer than they may, by one that is behind they would have
// expired when they are used. Revocations are taken all the same. For what is
// refused after a while, such as a feed that was not followed, the greater of wall
// and monotonic time counts, so also the time that a machine was asleep.
//
// # After a restore
//
// A store whose feed was set back, by a restored backup or a failover that lost
// commits, is read anew. What this process knows to be revoked stays so, and is
// written to the feed again, so that other replicas and later starts refuse it too;
// one event says so (event.StateOlder). What no running replica knew is lost: a
// client that was deleted, a secret that was removed, is back.
package issuer
