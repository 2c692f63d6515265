// Package pop binds access tokens to a key that their client holds, so that a stolen
// token is of no use. It has both ways of doing so, and both sides of each: DPoP
// (RFC 9449), where each request carries a signed proof, and certificate binding
// (RFC 8705), where the TLS connection is the proof.
//
// A caller makes proofs with a [Prover]. An issuer and an API check them with a
// [Verifier]. [CertificateThumbprint] is the name of a certificate in a bound token, and
// [ParseClientCert] reads the certificate that a proxy passes on. The package knows no
// HTTP: headers are strings here.
//
// # What binds
//
// The token says what it is bound to, in its claim cnf: jkt is the thumbprint of a DPoP
// key, x5t#S256 that of a certificate. The issuer puts [Proof].Thumbprint there. The API
// passes the token's jkt as [Request].Thumbprint. A token with a jkt must never be
// accepted without a proof, and never by its scheme Bearer. That rule is the API's: this
// package sees only proofs.
//
// # What a proof proves
//
// A proof is a JWT that the client signs for one request: its method, its URL, the time
// and, at an API, the hash of the access token. [Verifier.Verify] checks the form, the
// type, the algorithm, the key, the signature, htm, htu, iat, ath, the binding, the
// nonce and, last, that the proof was never used. Nothing is stored before all else is
// right, so forged proofs use no memory.
//
// The key is in the proof itself. So a valid proof of an unknown key proves nothing
// about who sends it: the binding does. And the sender chooses what a check costs. The
// accepted algorithms and sizes of keys are therefore few.
//
// The query, other headers and the body are not part of a proof (RFC 9449, section
// 11.7).
//
// # The URL
//
// The htu is compared with [Request].URL after normalisation by RFC 3986, section 6.2.2
// and 6.2.3: letter case of scheme and host, default port, dot segments and needless
// escapes make no difference. Query and fragment are ignored. [Request].URL must come
// from configuration. A Host or Forwarded header is written by the client, which could
// then use a proof that was made for another server.
//
// # Replays
//
// A proof is accepted once, by its key and its jti. Without [Config].Replay a bounded
// memory holds used proofs. When it is full, proofs are refused with [ErrUnavailable]:
// one whose use cannot be recorded could be used again. One key has a share of the
// memory, and so has one client, so neither can fill it alone. The memory is that of one
// process, and an attacker who reads a proof on its way can use it once at each other
// replica. Config.Replay closes that: the method Once of a store of issuer/registry has
// its form.
//
// The clock decides when a proof is too old. If it is set back by more than MaxAge, a
// proof from before can be used a second time, once its record has expired.
//
// # Nonces
//
// A client can make proofs for later. An attacker who can use its key for a moment could take
// such proofs away. A nonce of the server ends that: with [Config].RequireNonce a proof
// is at most 3 minutes old, whatever its iat says. [Nonces] stores nothing: replicas
// derive the same nonces from a shared secret and their clocks. The iat is checked
// besides, so a nonce does not help a client whose clock is wrong.
package pop
