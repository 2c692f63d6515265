// Package middleware lets a request through to a handler only with a valid OAuth 2.0
// access token and the scopes that the route needs. Echo has a package of the same
// name, so import this one as bearer:
//
//	import bearer "github.com/echo-m2m/m2m/middleware"
//
//	auth, err := bearer.New(bearer.Config{
//		Issuer:   "https://auth.example.com",
//		Audience: "https://api.example.com",
//		Keys:     keys,
//	})
//	if err != nil { … }
//
//	v1 := e.Group("/v1", auth.Require())                      // any valid token
//	v1.GET("/orders", list, auth.Require("orders:read"))      // … and this scope
//
// Most programs need three names. [New] turns a [Config] into a [Bearer]. [Bearer.Require]
// is the middleware. In a handler, [TokenFrom] returns the token of the caller. Require
// authenticates and checks scopes in one, so no order of middleware can check a scope of a
// token that was not verified.
//
// Without Echo, [Bearer.Handler] is the guard and [TokenFromContext] returns the token:
//
//	mux.Handle("GET /orders", auth.Handler(list, "orders:read"))
//
// Handler also guards Echo 5 and other frameworks that take net/http middleware.
// [EchoOptions] are options of Echo's own middleware, such as a Skipper.
//
// # What is checked
//
// By default a token is an RFC 9068 JWT access token, validated in the order of its section 4:
// one credential in the request, strict parse, typ, key, signature, iss, aud, exp,
// nbf, iat, sub, client_id, jti, revocation, what the token is bound to, and last the
// scopes of the route. Nothing a token says is believed before its signature is checked.
//
// # Other issuers
//
// With [Config.Profile] the claims of an issuer that does not follow RFC 9068 are read,
// such as those of Keycloak or Microsoft Entra. [Any] makes one Bearer for several issuers,
// and [AnyTenant] one for issuers that are known only when a token comes. The unverified
// iss of a token picks the Bearer that checks it, and nothing is shared between them.
//
// # Bound tokens
//
// A token with a cnf claim is bound to a key of its client, so a thief cannot use it. It
// is never accepted as a plain bearer token:
//
//   - With [Config.DPoP], a token with jkt is accepted with the scheme DPoP and a proof of
//     the request (RFC 9449). Its own signature stays cached. The proof is checked at each
//     request, and each proof is accepted once.
//   - With [Config.ClientCertificates], a token with x5t#S256 is accepted from the client
//     with that certificate (RFC 8705).
//   - A token with both needs both. All others are refused.
//
// [Config.RequireBound] refuses plain bearer tokens on all routes, [Bearer.RequireBound] and
// [Bearer.HandlerBound] do on one.
//
// # What is not checked
//
//   - Whether a token was revoked, unless [Config.Revoked] or [Config.Introspection] is set.
//   - Whether a request was sent over TLS. That is for the app or its proxy.
//   - Query, body and other headers of a request with a DPoP proof: it does not cover them.
//   - Whether a scope that a route names exists at the issuer.
//
// Tokens that are signed with a shared key (HS256) are refused: each API that can check
// them could also forge them.
//
// # Verified-token cache
//
// From its third use a token skips the signature check ([Config.CacheSize]). What can
// change is checked at every request: time, whether the key is still the issuer's,
// revocation, and the scopes of the route. A second guard of the same request checks
// the scopes alone. Invalid and revoked tokens are not cached, and no two Bearers
// share a cache.
//
// # Revocation
//
// A token is valid until it expires, unless revocation is looked up: in the same
// process by [Config.Revoked], or at the issuer by [Config.Introspection].
//
// # Without a token, and why not
//
// [Bearer.Optional] and [Bearer.HandlerOptional] let requests without a credential in, and
// refuse bad ones. [Bearer.Explain] says to an operator what each check finds about a
// token. [Bearer.Judge] says how a guard would decide about a request, and changes nothing.
// [Config.Resource] tells clients where to get tokens.
//
// # Where a token may be
//
// In one Authorization header (RFC 6750, section 2.1; RFC 9449, section 7.1) and nowhere
// else. The
// access_token parameter of a query is not read, for URLs end up in logs; next to a
// header it makes the request ambiguous and is refused. An empty header or parameter
// is the same as none. Form bodies are never read: the body belongs to the handler.
//
// # Answers
//
//   - 401 with a WWW-Authenticate challenge (RFC 6750, section 3): bare when no token
//     was sent, else with error and error_description, which some clients show alone.
//     Every invalid token gets the same words. A 401 of the app's own check has a
//     challenge too.
//   - 403 insufficient_scope, naming the scopes needed.
//   - 401 invalid_dpop_proof or use_dpop_nonce (RFC 9449, section 7.1) for a token whose
//     proof is missing or wrong, and 401 invalid_token for one that is sent without its
//     key. These say what is missing. A DPoP-Nonce header has the nonce for the next proof.
//   - 400 invalid_request when the request does not hold exactly one token.
//   - 503 with Retry-After when keys or revocations cannot be had, or replays cannot be
//     checked. Never 401 then:
//     callers throw valid tokens away on 401.
//
// Require returns each as an *echo.HTTPError around an [Error], so the body is the
// app's error handler's. Handler writes a JSON body with error and error_description.
// Only [Config.Observe] learns why a token was refused.
//
// # Order of middleware
//
// A browser sends no token with a CORS preflight, so Echo's CORS middleware goes
// before Require: with e.Use, or earlier in the same group. Without it, OPTIONS
// on a route of an app guarded by e.Use asks for a token like any request.
//
// Echo gives every group with middleware a catch-all route for unknown paths.
// Require sees that it guards nothing there and answers as Echo would without the
// group: 404, 405 with Allow, or 204 to OPTIONS, by the app's own
// echo.NotFoundHandler and echo.MethodNotAllowedHandler if it has set them. In a
// group these are called without a token: what needs one must be a route.
//
// So Require goes last in a group. When other middleware follows it (gzip, a logger, a
// proxy), or a group with middleware is made from the guarded one, or the app has its own
// RouteNotFound, there may be something to protect: unknown paths, wrong methods and
// OPTIONS are then 401 without a token. The same holds under e.Use(auth.Require()) when
// the app has set handlers of its own.
//
//	e.Group("/v1", middleware.Gzip(), auth.Require()) // GET /v1/nope: 404
//	e.Group("/v1", auth.Require(), middleware.Gzip()) // GET /v1/nope: 401
//
// # Tests
//
// Package issuertest gives tests a real issuer, with good tokens and bad ones. [SetToken]
// and [WithToken] give a token to one handler, without its guard.
//
// # Readiness and state
//
// [Bearer.Ready] is for a readiness endpoint, and [Bearer.Status] for an operator.
// [Config.Observe] gets an event for each request. Without it, failures of what the guard
// depends on, and their end, are logged to [slog.Default], unless [Config.Quiet] is set.
package middleware
