// Package issuer grants OAuth 2.0 access tokens to programs: the client
// credentials grant of RFC 6749 §4.4, with tokens in the form of RFC 9068.
//
// [New] makes an [Issuer] of a keyring (package jwks) and a [registry.Store] of clients;
// [Issuer.Mount] puts its endpoints on an Echo app. A client proves who it is
// with a secret and gets a token that lives for minutes, says which APIs it is
// for (aud) and what it may do there (scope), and that any holder of the public
// keys can check without asking back. Granting a token writes nothing to the
// store.
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
// Errors have the form of RFC 6749 §5.2. An unknown client, a wrong secret, an
// expired one and a disabled client are one answer, at one cost. What failed on
// this side is 503 or 500, never the client's fault; causes go to
// [Config].Observe alone.
package issuer
