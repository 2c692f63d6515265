// Package admin is a JSON API that manages the clients of an issuer: register,
// list, read, update and delete clients, rotate and remove their secrets, revoke
// the tokens of a secret, a client or all clients.
//
// [New] returns an [API], an [http.Handler] for /clients and the paths below it.
// It does not authenticate: a guard in front decides who may call it. Where that
// guard takes a credential that browsers send by themselves, such as a cookie,
// requests from pages of other origins are refused ([http.CrossOriginProtection]);
// a bearer token is none.
//
// That check reads Sec-Fetch-Site and Origin. A request with neither passes, because it
// is from no browser; one older than 2020 sends neither, too. An empty body needs no
// Content-Type, so for actions without members, such as POST /clients/revoke, this
// check is all that refuses a form on a page of another origin.
//
//	api, err := admin.New(admin.Config{Issuer: iss, Manager: store})
//	mux.Handle("/admin/", http.StripPrefix("/admin", guard(api)))   // net/http
//	api.Mount(e.Group("/admin", auth.Require("clients:admin")), nil) // Echo
//
// [ReadRecords] reads clients in the same form from a file.
//
// # Requests
//
// The path, what it does, and the answer (200 and {} where none is given):
//
//	GET    /clients                        list: {"clients": […]}; ?search=, ?after= and ?limit= are those of registry.Query
//	POST   /clients                        register: 201 and the client with its generated client_secret, this once
//	GET    /clients/{id}                   read: the client
//	PUT    /clients/{id}                   replace all but the secrets; what is left out is cleared: the client
//	DELETE /clients/{id}                   delete it and revoke its tokens
//	POST   /clients/{id}/revoke            revoke its tokens; it can get new ones
//	POST   /clients/revoke                 revoke the tokens of ALL clients, the operator's own among them
//
//	POST   /clients/{id}/secrets                   generate another secret: 201 {"client_id", "secret_id", "client_secret",
//	                                               "client_secret_expires_at": 0}, this once; the others end after a day
//	       {"overlap": 3600, "label": "blue"}      the same; the others end after overlap seconds, with 0 at once
//	       {"revoke": true}                        the same; the others end at once, and all tokens of the client are revoked
//	DELETE /clients/{id}/secrets/{secret}          remove this secret; tokens got with it stay valid
//	DELETE /clients/{id}/secrets/{secret}?revoke=true  remove it, and revoke the tokens got with it
//	POST   /clients/{id}/secrets/{secret}/revoke   revoke the tokens got with it; the secret stays valid
//
// {secret} is a secret_id. A change counts in this process when it is answered, and
// in other replicas within 2 s. After POST /clients/revoke the operator needs a new
// token for the next request. A 503 says that the store did not answer within 3 s:
// the change may have been written, so send it again.
//
// To disable a client, GET it, set "disabled" to true and PUT the whole answer back:
//
//	curl -s $ISSUER/admin/clients/reports -H "Authorization: Bearer $TOKEN" | jq '.disabled = true' |
//	  curl -X PUT $ISSUER/admin/clients/reports -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d @-
//
// A PUT of the one member alone would clear all others. It is refused, as it has no
// version.
//
// A body is one JSON object, application/json, at most 64 KiB, in UTF-8, with known
// members of exactly these names, none of them twice; nothing may follow it. A GET's
// is not read. An empty body is an empty object, and needs no Content-Type. A whole
// number is taken in every spelling of JSON, such as 3e2. The query takes the
// parameters above, each once, and ?revoke=true where a secret is removed: that
// revokes the tokens it got.
//
// A PUT names the version that was read; another version is a conflict (409). A PUT
// that disables also revokes. What GET gave can be sent back in a PUT; client_secret,
// and other secrets or times than GET gave, are refused. last_used_at is written up
// to a minute late.
//
// # A client
//
// Members have the names of RFC 7591 where it has one. Only client_id is required,
// and POST makes one up. A client without audiences gets no token.
//
//	{
//	  "client_id": "reports",
//	  "client_name": "Monthly reports",
//	  "scope": "orders:read orders:write",
//	  "audiences": ["https://api.example.com"],
//	  "default_audience": "https://api.example.com",
//	  "introspects": ["https://api.example.com"],
//	  "token_endpoint_auth_method": "client_secret_basic",
//	  "token_ttl": 300,
//	  "metadata": {"tenant": "acme"},
//	  "disabled": false,
//	  "version": 1
//	}
//
// token_ttl is in seconds. What each member means is in registry.Client, whose own
// JSON is another form. Answers add client_id_issued_at, grant_types and secrets:
// their secret_id, label and times, never a hash. Errors have the form of RFC 6749,
// section 5.2, also those for an unknown path (404) and method (405). What a store
// would refuse is 400 and names the member: invalid_client_metadata of a client's
// record, invalid_request of the rest.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// Event is what Config.Observe is told: one for each request that names an
// action of the API. Target is the client that it was about.
type Event = event.Event

// Config says what an API is made of. Issuer and Manager are required.
type Config struct {
	// Issuer is the issuer of the clients in this process. It acts on a change at
	// once; those of other replicas do as [issuer.Issuer.Revoked] states.
	Issuer *issuer.Issuer

	// Manager keeps the clients. It is the issuer's Store.
	Manager registry.Manager

	// Actor returns who makes the request, such as the client of the token that the
	// guard has checked, for Event.ClientID. Default: nobody is named.
	Actor func(r *http.Request) string

	// Observe is told of every action and every refusal of one. It is called before
	// the answer is sent, so it must be quick, and safe for concurrent use.
	Observe func(ctx context.Context, e Event)
}

// API serves the clients of a registry. It is safe for concurrent use. [New]
// makes one: a zero API answers 500.
type API struct {
	issuer  *issuer.Issuer
	manager registry.Manager
	actor   func(*http.Request) string
	observe func(context.Context, Event)
	routes  []route
}

// New returns an API. The error names the field that is wrong and what to write.
func New(c Config) (*API, error) {
	switch {
	case c.Issuer == nil:
		return nil, errors.New("admin: Config.Issuer is missing: write the issuer that issuer.New returned")
	case c.Manager == nil:
		return nil, errors.New("admin: Config.Manager is missing: write the issuer's store, such as one of sqlite.Open")
	}
	a := &API{issuer: c.Issuer, manager: c.Manager, actor: c.Actor, observe: c.Observe}
	a.handle("GET /openapi.json", "", a.openAPI)
	a.handle("GET /clients", event.OpRead, a.list, "search", "after", "limit")
	a.handle("POST /clients", event.OpRegister, a.register)
	a.handle("POST /clients/revoke", event.OpRevokeClient, a.revokeAll)
	a.handle("GET /clients/{id}", event.OpRead, a.get)
	a.handle("PUT /clients/{id}", event.OpUpdate, a.update)
	a.handle("DELETE /clients/{id}", event.OpDelete, a.remove)
	a.handle("POST /clients/{id}/secrets", event.OpRotateSecret, a.rotate)
	a.handle("POST /clients/{id}/secrets/add", event.OpAddSecret, a.addSecret)
	a.handle("DELETE /clients/{id}/secrets/{secret}", event.OpRemoveSecret, a.removeSecret, "revoke")
	a.handle("POST /clients/{id}/secrets/{secret}/revoke", event.OpRevokeClient, a.revokeSecret)
	a.handle("POST /clients/{id}/revoke", event.OpRevokeClient, a.revokeClient)
	return a, nil
}

// ServeHTTP serves /clients and the paths below it. Behind another prefix, put
// http.StripPrefix in front. Every answer is JSON, also to an unknown path (404) or
// method (405). It redirects nobody.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a == nil || a.routes == nil {
		internal(errNotMade).write(w)
		return
	}
	found, allow, ok := a.find(r)
	if !ok {
		noRoute(w, allow)
		return
	}
	a.run(w, r, found)
}

var errNotMade = errors.New("admin: the API was not made by New")

// actorKey is where a request's context has what the actor of Mount returned.
type actorKey struct{}

func (a *API) actorOf(r *http.Request) string {
	if actor, ok := r.Context().Value(actorKey{}).(string); ok {
		return actor
	}
	if a.actor == nil {
		return ""
	}
	return a.actor(r)
}

// loggable returns an id of a request if it is one that can be logged. A secret in
// its place, by mistake, cannot.
func loggable(id string) string {
	if _, secret := registry.SecretID(id); secret || !registry.ValidID(id) {
		return ""
	}
	return id
}

// timeout bounds what an action asks of the store, as the issuer's own endpoints
// do. What took longer is answered 503, and may have been written.
const timeout = 3 * time.Second

// errTimeout is the cause of that 503.
var errTimeout = errors.New("admin: the store does not answer")

// action does what a request asks, and returns the answer. It notes in the event
// what it was about.
type action func(r *http.Request, e *Event) (status int, answer any, err error)

// handle adds a route. query are the parameters that its URL may have.
func (a *API) handle(pattern string, op event.Op, do action, query ...string) {
	method, path, _ := strings.Cut(pattern, " /")
	a.routes = append(a.routes, route{method, strings.Split(path, "/"), op, query, do})
}

// run does the action of a route, reports it and answers.
func (a *API) run(w http.ResponseWriter, r *http.Request, t route) {
	var began time.Time
	if a.observe != nil {
		began = time.Now()
	}
	e := Event{Op: t.op, Target: loggable(r.PathValue("id"))}
	ctx, cancel := context.WithTimeoutCause(registry.AsOperator(r.Context()), timeout, errTimeout)
	defer cancel()
	status, answer, err := t.act(r.WithContext(ctx), &e)
	var body []byte
	if err == nil {
		body, err = json.Marshal(answer)
	}
	var refused *refusal
	if err != nil {
		refused = refusalOf(err)
	}
	if a.observe != nil && t.op != "" {
		e.Status, e.Duration = status, time.Since(began)
		e.ClientID = a.actorOf(r)
		if refused != nil {
			e.Status, e.Code, e.Reason, e.Err = refused.status, refused.code, refused.reason, err
		}
		a.observe(r.Context(), e)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	writeJSON(w, status, body)
}

// act refuses what another site has made a browser send, what the URL must not have
// and ids that no client or secret can have, and does the action.
func (t route) act(r *http.Request, e *Event) (status int, answer any, err error) {
	if err := sameOrigin(r); err != nil {
		return 0, nil, err
	}
	if err := checkQuery(r, t.query); err != nil {
		return 0, nil, err
	}
	for _, name := range t.path {
		id := r.PathValue(strings.Trim(name, "{}"))
		if name == "{id}" && !registry.ValidID(id) || name == "{secret}" && !isText(id) {
			return 0, nil, registry.ErrNotFound // and no question that a database refuses
		}
	}
	return t.do(r, e)
}

// sync makes this process act on a change that the manager has written, now
// instead of within 2 s, in what is left of the time, whether the caller still
// waits or not. An error does not undo the change, so the answer does not tell of
// it.
func (a *API) sync(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	bound, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	_ = a.issuer.Sync(bound)
}
