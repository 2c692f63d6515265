// Package issuertest is a real issuer for tests, with every bad day on demand. It is for
// the tests of an API, of the program that calls it, and of anything between them.
//
//	func TestOrders(t *testing.T) {
//		idp := issuertest.New(t)
//		app := newApp(idp.Bearer("https://api.example.com"))
//		…
//		request.Header.Set("Authorization", "Bearer "+idp.Token(t, issuertest.Scopes("orders:read")))
//
// # Which names first
//
// [New] starts an [Issuer] on the loopback, with keys and clients in memory, and ends it
// with the test. Then three methods do most of the work:
//
//   - [Issuer.Token] signs a token: a good one, or one with any fault.
//   - [Issuer.Bearer] is the config of a guard that trusts the issuer.
//   - [Issuer.Client] is an *http.Client that sends a token.
//
// Nothing is mocked. The tokens are signed, the guard verifies them, and clients that
// [Issuer.Register] makes get tokens from the token endpoint at [Issuer.URL].
//
// # Good tokens and bad ones
//
// A token without options has no scope. It is for the audience that the guard was made
// for, from client "test-client", and lives for 15 minutes. [Scopes], [Audience],
// [ClientID], [Lifetime] and [Claim] change that:
//
//	idp.Token(t, issuertest.Scopes("orders:read"), issuertest.Claim("tenant", "acme"))
//
// [Bad] adds one fault by name. Everything else about the token is right, so the guard
// refuses it for that fault and no other. Claims of other options stay, unless the fault
// needs another: an expired token was issued two hours ago, whatever its iat.
//
//	idp.Token(t, issuertest.Bad("expired"))
//
// [Faults] lists all, with the guard's answer. These are their names:
//
//   - times: expired; expired, with a fraction; expired, with an exponent; not yet
//     valid; not yet valid, with a fraction; not yet valid, with an exponent; issued in
//     the future; issued in the future, with a fraction; issued in the future, with an
//     exponent
//   - issuer and audience: other issuer; issuer with slash; issuer with more; other
//     audience; other audiences; empty audience; audience with slash; audience with
//     more; audiences in a text
//   - signature: unknown key; of another issuer; forged; expired and forged; embedded
//     jwk; embedded jwk, of its kid; embedded jku; embedded x5u; embedded x5c; changed;
//     signature of zeros; signature in DER; cut short
//   - algorithm: alg none; alg None; alg nOnE; alg unknown; alg none, signed; alg
//     unknown, signed; no alg; alg list; HS256 with the public key; HS256 with the
//     public key, DER; HS256 with the public key, JWK; HS256 without a secret; alg of
//     another key
//   - key id: kid of a path; kid of SQL; kid of an address; kid empty; kid with NUL; kid
//     too long; kid number; kid bool; kid null; kid list; kid object; no kid
//   - header: wrong typ; typ of a logout token; typ of a client assertion; typ of a DPoP
//     proof; no typ; crit; crit of a known header; crit of a missing header; crit empty;
//     crit text; unencoded payload; unencoded payload, crit; unencoded payload, JSON;
//     duplicate header member
//   - missing claims: no iss; no aud; no exp; no iat; no sub; no client_id; no jti; exp
//     in capitals
//   - claims of the wrong type: exp text; exp null; exp bool; exp too large; exp of 64
//     bits; exp negative; exp in milliseconds; nbf text; nbf null; nbf bool; nbf too
//     large; nbf of 64 bits; nbf negative; nbf in milliseconds; iat text; iat null; iat
//     bool; iat too large; iat of 64 bits; iat negative; iat in milliseconds; exp zero;
//     iss list; aud number; aud nested; aud null; aud object; sub empty; client_id
//     empty; client_id list; jti empty; jti number; scope list; scope null
//   - payload: duplicate claim; duplicate claim, escaped; duplicate custom claim; claims
//     in a list; trailing data; invalid UTF-8; byte order mark; no JSON; nested token
//   - spelling: padded header; padded payload; padded signature; trailing bits; standard
//     alphabet; percent-encoded; in quotes; tab in the signature; newline in the
//     signature; space in the signature; Bearer twice; two tokens; dot at the end; no
//     signature; empty signature; encrypted; encrypted, p2c; opaque; undefined; JSON
//     serialisation
//   - size: too long; kid of a megabyte; header too deep; header of many members; claims
//     too deep; megabyte of dots
//   - state: bound to a key; bound to a certificate; revoked; revoked, another signature
//
// # Bad days
//
// [Issuer.Rotate] and [Issuer.EmergencyRotate] change the keys. [Issuer.Revoke] and
// [Issuer.RevokeClient] revoke tokens. [Issuer.Clients] rotates a secret, or disables a
// client. All of it counts at the next request.
//
// Each field of [Issuer] is a [Switch] of one endpoint. It counts requests, and lets them
// be slow, hang, fail with a status, get garbage, or lose the connection:
//
//	idp.TokenEndpoint.Fail(503)
//	…
//	idp.TokenEndpoint.Restore()
//	if n := idp.TokenEndpoint.Requests(); n > 3 { … }
//
// A guard of [Issuer.Bearer] needs none of the endpoints. [Issuer.Remote] is the config of
// one that does.
//
// # Workloads
//
// [NewWorkload] makes an issuer of workload tokens: a Kubernetes cluster, GitHub Actions,
// GitLab CI, AWS, Google Cloud, Azure or SPIFFE. Its tokens have the claims of the real
// ones, and are client assertions at an issuer that trusts it ([Workload.Trust]):
//
//	cluster := issuertest.NewWorkload(t, issuertest.Kubernetes)
//	idp := issuertest.New(t, func(c *issuer.Config) { c.WorkloadIssuers = []issuer.WorkloadIssuer{cluster.Trust()} })
//	idp.Register(t, registry.Client{ID: "reports", Workloads: []registry.Workload{cluster.Entry(idp.URL())}})
//	token := cluster.Token(t)
//
// [Workload.Rotate] changes its keys, and the switch Workload.KeySet makes them fail.
//
// # Bound tokens
//
// [Bound] binds a token to a key, and [BoundToCertificate] to a client certificate.
// [Issuer.Client] makes the proofs, and repeats a request for which the API wants a nonce.
// The guard needs a Config.DPoP or Config.ClientCertificates beside what [Issuer.Bearer] has.
//
// # Without a network
//
// In a bubble of testing/synctest a network is of no use. Set Config.Issuer there, and
// the issuer does not listen. [Issuer.ServeHTTP] answers requests, a guard of
// [Issuer.Remote] reaches it without a network, and so does a program that sends its
// requests for tokens by [Issuer.Transport]:
//
//	idp := issuertest.New(t, func(c *issuer.Config) { c.Issuer = "https://auth.test" })
//
// # What is not tested
//
// The issuer's keys are ES256 keys. Each rotation starts the issuer's counts of failed
// attempts anew.
package issuertest
