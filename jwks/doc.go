// Package jwks holds, rotates, publishes and fetches the keys that sign access tokens.
//
// Most programs need two names:
//
//   - [Open] gives an issuer its [Keyring]: the private keys. It signs, rotates by
//     itself, and is an [http.Handler] for /.well-known/jwks.json.
//   - [NewRemote] gives an API a [Remote]: the public keys of an issuer, fetched over
//     HTTP and cached.
//
// Both are a [Source], which is all that a verifier needs: pass one to bearer.Config.Keys
// of package middleware.
//
//	// In the issuer:
//	keys, err := jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})
//
//	// In an API elsewhere:
//	keys := jwks.NewRemote("https://auth.example.com/.well-known/jwks.json", jwks.RemoteConfig{})
//
// For other cases: [NewIssuerRemote] finds the key set of an issuer through its metadata.
// [NewFixed] is a Source of pinned keys. [NewKeyring] is a keyring of keys that you
// rotate yourself. Tokens, keys and key sets as data are in package [jose].
//
// # The timetable of a key
//
// A key goes through these phases. The times are those of the zero [Policy].
//
//	announced   24 h (Announce)       published, does not sign yet
//	signing     30 d (RotateEvery)    published, signs
//	retained    24 h (Retain)         published, does not sign any more
//	gone                              not published
//
// The next key is always announced before it signs, so a verifier that caches the set
// for its max-age (5 min) has the key before the first token of it. A key is retained
// until the last token that it signed has expired. A Policy that cannot keep this is
// refused by Open. The first key of a new keyring signs at once: no verifier holds an
// older set.
//
// # In an emergency
//
// A keyring rotates by itself. Three methods are for operators:
//
//   - [Keyring.Rotate], if a key may have leaked: it drops the signing key, and the
//     announced one signs at once.
//   - [Keyring.Reclaim], if another keyring's keys were put into the key store by mistake:
//     it writes the keys of this replica over them.
//   - [Keyring.Adopt], if they were put there on purpose, or if a wrong clock wrote the
//     stored timetable: it takes what is stored.
//
// # Key stores
//
// All replicas of an issuer share one [KeyStore]. There is no leader: each replica polls
// the store, and each may write it by compare-and-swap. [File] is a store for one
// machine. Package sqlstore keeps the keys in the database of the clients. Your own store
// has two methods. Encrypt a store that others can read with [Sealed].
//
// To keep the private keys in a KMS, set NewSigner and OpenSigner of Policy. Then the
// store holds references and public keys, and the keys still rotate.
//
// # Failures
//
// Reading and writing fail separately. Each failure is reported at once by
// [Keyring.Ready], [Keyring.Status] and an event.
//
//   - The store cannot be written: the keyring signs, publishes and verifies, and the
//     announced key still takes over. After that, keys do not rotate. A write is tried at
//     least every 6 h, so a full disk shows long before a rotation needs the space.
//   - The store cannot be read: the keyring signs and verifies for as long as no key that
//     it does not know can sign, an hour with the zero Policy. It publishes for MaxAge +
//     Poll. Then the answer is [ErrUnavailable].
//   - The KMS fails: Sign returns ErrUnavailable. The keys are still published and
//     verify.
//   - The issuer cannot be reached, or answers with a set in which nothing is usable: a
//     Remote uses the set that it has, up to RemoteConfig.MaxStale (1 h) past its
//     lifetime. Then the answer is ErrUnavailable.
//   - One entry of a set cannot be used: it is skipped, and [Remote.Status] says why. The
//     other keys are used.
//
// ErrUnavailable says nothing about a token: answer 503. Only [ErrUnknownKey] makes a
// token invalid: answer 401.
//
// # A store that is set back
//
// The stored state has a lineage, which is a random name, and a generation, which counts
// writes. A running replica that finds an older generation than its own, such as after
// a restored backup, or an empty store, writes its own state back. So a key that Rotate
// dropped does not return while one replica runs. A replica takes nothing of another
// lineage: it keeps its own keys until you call [Keyring.Reclaim] or [Keyring.Adopt].
//
// A replica that starts takes what it finds. After a restore with no replica running,
// call Rotate if a key was dropped after the backup.
//
// # Clocks
//
// No clock alone decides what cannot be undone. With a [ClockStore], a replica whose
// clock differs from the store's writes nothing. In any case a jump of the wall clock drops
// no key and moves no timetable until the clock has run steadily for a day, and a key is
// retained from when it was last seen to sign. A running replica does not take a state that
// was written in its future: it writes its own over it.
//
// # Events
//
// Observe in Policy and in [RemoteConfig] receives each [Event]: rotations, fetches and
// failures. Without it, changes of the state go to [slog.Default]. [event.Log] is an
// observer that logs every event.
package jwks
