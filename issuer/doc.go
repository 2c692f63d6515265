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
// secret, an expired one and a disabled client are one answer, at one cost. A
// failure on this side is 503 or 500, never the client's fault. Causes are
// reported to [Config].Observe alone, as one [Event] per request with a reason
// from the list in package jwks/event.
package issuer
