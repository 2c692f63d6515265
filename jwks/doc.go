// Package jwks holds, rotates, publishes and fetches the keys that sign access
// tokens.
//
// Two names are enough for most programs. [Open] gives an issuer its [Keyring]: the
// private keys, which sign, rotate themselves and are an [http.Handler] for
// /.well-known/jwks.json. [NewRemote] gives a resource server the public keys of an
// issuer over HTTP. Both are a [Source], which is all that a verifier needs.
//
// [NewKeyring] is a keyring of keys in a KMS or an HSM. [NewIssuerRemote] finds the
// key set of an issuer through its metadata. [NewFixed] is a Source of pinned keys.
// Tokens, keys and key sets themselves are in package jose.
//
// # A key's life
//
// A key is announced (published, not signing), then it signs, then it is retained
// (published, no longer signing), then it is gone. The next key is always announced
// well before it signs, so a verifier that caches the published set for its max-age
// has the key before the first token it signs. A key is retained until the last
// token it signed has expired. [Policy] holds the times, and refuses those under
// which this cannot be kept.
//
// # Replicas and failures
//
// The replicas of an issuer share a [KeyStore]: [File] on one machine, a table of
// package sqlstore, or one of your own, encrypted by [Sealed]. Each replica polls
// it. One that cannot read the store goes on for as long as no key that it does not
// know can sign, and then answers [ErrUnavailable], which is a 503 and not a 401.
//
// A [Remote] keeps serving the set that it has while its issuer cannot be reached, or
// answers with a set in which nothing is usable, up to RemoteConfig.MaxStale past its
// lifetime. One entry of a set that cannot be used costs no other.
//
// Observe in Policy and in RemoteConfig hears of rotations, fetches and failures.
package jwks
