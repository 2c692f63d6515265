// Package gateway is what an API gateway needs in front of its services: one policy for
// all routes, a rehearsal of the next policy on live traffic, limits for each caller, and
// upstreams that learn who called.
//
//	policy, err := gateway.LoadPolicy("policy.json")
//	if err != nil { … }
//	gw, err := gateway.New(gateway.Config{Auth: auth, Policy: policy}) // auth: a *bearer.Bearer
//	if err != nil { … }
//	forward, err := gateway.NewForwarder(gateway.ForwardConfig{})
//	if err != nil { … }
//
//	// Echo, with its own Proxy
//	e.Group("/orders", gw.Require(), forward.Echo(), middleware.Proxy(orders)).Any("/*", echo.NotFoundHandler)
//
//	// net/http, with httputil.ReverseProxy
//	mux.Handle("/orders/{path...}", gw.Handler(forward.Handler(orders)))
//
// Most programs need four names. [LoadPolicy] reads a [Policy] from a file. [New] makes a
// [Gateway]. [Gateway.Require], or [Gateway.Handler] with net/http, is the guard. A
// [Forwarder] behind it tells the upstream who called. Without one the proxy sends on the
// caller's token, and identity headers that the caller made up.
//
// # Policy
//
// A [Policy] is a table of rules. A [Rule] says which tokens one route of the router needs,
// for some methods and some issuers. What no rule allows is refused. A rule is found by the
// route that the router chose, and never by the path of the request. [Rule.Route] is
// written as the router reports it: "/orders/:id" or "/orders/*" in Echo, "/orders/{id}" in
// a ServeMux, there without the method and with the host if the pattern has one.
//
// At most one rule decides on a request: the first of its route for its method and the
// issuer of its token. Rules that can never decide are refused when the policy is read.
//
// # What is answered
//
//   - 400 when router and upstream could read the path in different ways: empty segments,
//     dot segments, an encoded slash, a backslash, a semicolon, control characters, bytes
//     that are not UTF-8, a path that is encoded twice, a target with scheme and host. The
//     path is checked first.
//   - 404 and 405 when the router has no such route, as without the gateway: see
//     "Order of middleware" of package middleware.
//   - All that package middleware answers when the request has no valid token.
//   - 403 insufficient_scope when no rule is for the request, or the token has not what the
//     rule wants. The challenge names the scopes that are missing, if scopes are.
//
// So a caller without a token learns which routes the router has, and not which of them
// have a rule.
//
// # What is not checked
//
//   - Whether the upstream reads a path as RFC 3986 says. One that ignores case, or removes
//     a slash at the end, may see another route of its own: give a catch-all route no weaker
//     rule than the routes beside it.
//   - Whether the upstream takes its method or path from elsewhere. A [Forwarder] removes
//     X-HTTP-Method-Override, X-Original-URL and the like. A field _method of a query or a
//     form is left.
//   - Whether a scope, a claim or an issuer of a rule exists.
//
// # Shadow
//
// A rule with [Rule.Shadow], a second policy ([Config.Shadow]) and a second Bearer
// ([Config.ShadowAuth]) decide nothing. Each request is judged by them too, and
// [Gateway.Report] says which requests they would refuse and which they would let in, by
// rule, reason and client.
package gateway
