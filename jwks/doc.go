// Package jwks holds, rotates, publishes and fetches the keys that sign access
// tokens.
//
// Two names matter to most programs. [Open] gives the issuer its [Keyring]: the
// private keys, which sign, rotate themselves and are an [http.Handler] for
// /.well-known/jwks.json. [NewRemote] gives a resource server somebody else's
// keys over HTTP. Both are a [Source], which is all a verifier needs.
//
// # A key's life
//
// A key is announced (published, not signing), then it signs, then it is
// retained (published, no longer signing), then it is gone. The next key is
// always announced well before it signs, so a verifier that keeps the published
// set for its max-age never meets a token whose key it could not have; and a
// key is retained until the last token it signed has expired. [Policy] holds the
// times and refuses those under which this could not be promised.
//
// # What a token is
//
// [Parse] reads exactly one spelling of a token: the compact JWS of RFC 7515
// §3.1, unpadded and canonical. The header never chooses the algorithm: a [Key]
// has one, and [JWS.Verify] refuses a token that names another. HMAC and "none"
// do not exist here. An ES256 signature has two valid forms (r, s) and
// (r, n−s), so neither the bytes of a token nor their hash identify it: use the
// claims iss and jti for that.
package jwks
