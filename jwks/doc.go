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
// it.
//
// Reading and writing fail apart. A replica that cannot read the store goes on for
// as long as no key that it does not know can sign, and then answers
// [ErrUnavailable], which is a 503 and not a 401. One that can read it and not write
// it signs, publishes and verifies with the stored keys: the next key takes over
// when its turn comes. What is wrong shows at once in [Keyring.Ready],
// [Keyring.Status] and an event, and writing is tried several times a day, so that a
// full disk is known long before a rotation needs it.
//
// The stored state names its lineage, which is random, and its generation, which
// counts writes. A replica that finds an older generation than it has, as after a
// restored backup, or none, writes its own back at once. It takes nothing of another
// lineage, and goes on with its own until [Keyring.Adopt] or [Keyring.Reclaim] is
// called. So a key that [Keyring.Rotate] dropped does not return while one replica
// stays up. A replica that starts takes what it finds. After a restore without a
// running replica, call Rotate if a key was dropped after the backup.
//
// No clock is believed in what cannot be undone. With a [ClockStore] a replica whose
// clock is off from the store's writes nothing. With and without one, a jump of the
// wall clock drops no key and moves no timetable until the clock has run steadily for a
// day, and a key is retained from when it was last seen to sign. A state that
// was written in the future is not taken by a replica that runs, which writes its
// own over it.
//
// A [Remote] keeps serving the set that it has while its issuer cannot be reached, or
// answers with a set in which nothing is usable, up to RemoteConfig.MaxStale past its
// lifetime. One entry of a set that cannot be used costs no other.
//
// Observe in Policy and in RemoteConfig hears of rotations, fetches and failures.
// Without it, changes of the keyring's state go to slog.Default.
package jwks
