// Package issuer is an OAuth 2.0 authorization server for programs. It grants access
// tokens by the client credentials grant ([RFC 6749, section 4.4]), as an http.Handler or
// mounted on an Echo app.
//
//	keys, err := jwks.Open(ctx, jwks.File("keys.json"), jwks.Policy{})
//	store, err := sqlite.Open(ctx, "issuer.db")
//	secret, err := registry.Ensure(ctx, store, registry.Client{ID: "reporter", Audiences: []string{apiURL}, Scopes: []string{"orders:read"}})
//	iss, err := issuer.New(issuer.Config{Issuer: authURL, Keys: keys, Store: store})
//	iss.Mount(e)
//
// [New] takes a keyring (package jwks) and a store of clients (package registry).
// [Issuer.Mount] adds the endpoints to an Echo app; [Issuer.Handler] serves them with
// net/http. [Issuer.Close] stops the background work; the example "Shutdown" is a whole
// program, with the order of closing. Package issuer/admin manages clients by a JSON API.
//
// # What a client sends
//
//	POST /token
//	Content-Type: application/x-www-form-urlencoded
//
//	grant_type=client_credentials&client_id=reporter&client_secret=…&scope=orders:read
//
// Parameters are read from the form body only, up to 64 KiB. The client authenticates
// with a secret, in the header or in the body, or in another way that the metadata names,
// but in one way only. These parameters decide what the token is for:
//
//   - resource ([RFC 8707, section 2]), which may be repeated, is the audience. Without it
//     the audience is the client's only one, or its default. There is no token without
//     an audience.
//   - scope is a list of scopes, all of which the client must be allowed. Without it the
//     token has every scope that the client is allowed at the audience.
//
// Unknown parameters are ignored. A repeated parameter other than resource is refused. A
// parameter or header without a value counts as absent.
//
// # What a token is
//
// A token is a signed JWT of [RFC 9068, section 2] with iss, sub, aud, exp, iat, jti,
// client_id and scope, and what Config.Claims adds. It lives for 15 minutes by default. A
// holder of the public keys verifies it without asking the issuer. Granting a token
// writes nothing to the store, but for the use of a DPoP proof or of a client assertion.
//
// With Config.DPoP a token request may have a proof ([RFC 9449, section 5]), and its token
// is bound to the key of the proof. With Config.ClientCertificates a token may be bound to
// the client's certificate ([RFC 8705, section 3]), and a client may authenticate with one.
// A client whose record wants bound tokens gets no other.
//
// # Revocation
//
// [Issuer.RevokeToken], [Issuer.RevokeClient], [Issuer.RevokeSecret], [Issuer.RevokeAll],
// and the endpoint of [RFC 7009, section 2] write an entry to the store's feed. Changes of
// clients are in the feed too. Each replica polls it, so an entry counts everywhere
// within 2 s. A cut-off revokes the tokens of a client, of a secret or of all by the
// number in their jti; no clock is involved. A guard in the same process uses
// [Issuer.Revoked]. An API elsewhere uses introspection ([RFC 7662, section 2]).
//
// A replica that could not read the feed for Config.MaxRevocationLag answers 503 and
// grants nothing.
//
// # What fails how
//
// Errors have the form of [RFC 6749, section 5.2], see [Error]:
//
//   - 400: the request is malformed, or the client may not have the scope or audience.
//   - 401 invalid_client: an unknown client, a wrong or expired secret and a disabled
//     client get the same answer after the same work. It has a challenge
//     ([RFC 9110, section 15.5.2]).
//   - 413 and 415: the body is too large, or compressed.
//   - 429 with Retry-After: too many wrong chosen secrets, too many tokens or too many
//     revocations. See Config.FailedAttempts and Config.MaxGrantRate.
//   - 503 with Retry-After: the store or the keys cannot be reached, the clocks differ,
//     or a queue is full. 500: Config.Claims failed. Neither is the client's fault.
//
// The private cause of an error goes to Config.Observe only: one [Event] per request,
// with a reason from the list in package jwks/event. [Issuer.Status] is a snapshot for
// metrics, [Issuer.Ready] is for readiness probes.
//
// # Wrong secrets
//
// After Config.FailedAttempts wrong chosen secrets of a client, one attempt per 5 s is let
// through, shared by all networks (a /24 of IPv4, a /56 of IPv6) in turn. Retry-After says
// when the caller's turn is. A network that has tried ten times as many, at all clients
// together, gets one attempt per 30 s. An attempt counts once its secret was compared,
// whatever the answer is, and whether or not the caller waits for it.
//
// Addresses at which the client has succeeded are exempt: a right secret works there,
// unless 10 000 wrong ones came from the same address. From other addresses of the same
// network it works until wrong ones have used up a sixth of FailedAttempts. The latest 16
// addresses of a client count. A store that is a [registry.NetworkRecorder] keeps them;
// with any other store a restart loses them.
//
// Right generated secrets are not limited, with one exception: the client was not seen for
// an hour, has never succeeded from this network, and the network has failed too often.
//
// # Clocks
//
// If the store has a clock (PostgreSQL), each poll compares it with this machine's. While
// they differ by more than a minute, the issuer grants nothing and introspects nothing
// (503), and [Issuer.Ready] returns an error. With a clock that is ahead, tokens would
// live too long. With one that is behind, they would seem expired. Revocations still
// count. Time limits, such as MaxRevocationLag, count by the wall clock or the monotonic
// clock, whichever says more, so they include the time that a machine was asleep.
//
// # After a restore
//
// A restored backup, or a failover that lost commits, sets the feed back. The issuer
// notices, and reads it from the start. What this process knows to be revoked stays
// revoked, and is written to the feed again, so that other replicas and later starts
// refuse it too. One event reports it (event.StateOlder). What no running replica knew is
// lost: a deleted client or a removed secret is back.
//
// # What is not checked
//
//   - Whether a request was sent over TLS. That is for the app or its proxy.
//   - Whether an audience or a scope exists at an API, unless Config.Resources lists it.
//   - Whether Config.ClientIP returns an address that the caller cannot forge.
//   - Revocation lists of certificates, and OCSP.
//   - Whether a client assertion was used before a restore of the store.
//
// [RFC 6749, section 4.4]: https://www.rfc-editor.org/rfc/rfc6749#section-4.4
// [RFC 6749, section 5.2]: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
// [RFC 7009, section 2]: https://www.rfc-editor.org/rfc/rfc7009#section-2
// [RFC 7662, section 2]: https://www.rfc-editor.org/rfc/rfc7662#section-2
// [RFC 8705, section 3]: https://www.rfc-editor.org/rfc/rfc8705#section-3
// [RFC 8707, section 2]: https://www.rfc-editor.org/rfc/rfc8707#section-2
// [RFC 9068, section 2]: https://www.rfc-editor.org/rfc/rfc9068#section-2
// [RFC 9449, section 5]: https://www.rfc-editor.org/rfc/rfc9449#section-5
// [RFC 9110, section 15.5.2]: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
package issuer
