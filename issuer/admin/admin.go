package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// Event is what Config.Observe gets: one for each request that names an action of the
// API, also if it was refused. Target is the client, "*" for all.
type Event = event.Event

// Config configures an [API]. Issuer and Manager are required.
type Config struct {
	// Issuer is the issuer of the clients in this process. It acts on a change before
	// the change is answered; those of other replicas act within 2 s.
	Issuer *issuer.Issuer

	// Manager keeps the clients. It is the issuer's Store.
	Manager registry.Manager

	// Actor returns the caller for Event.ClientID, such as the client of the token that
	// the guard has verified. Default: none.
	Actor func(r *http.Request) string

	// Observe gets an [Event] for every action and every refusal of one. It is called
	// before the answer is sent, so it must be quick. It must be safe for concurrent use.
	// Default: none.
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

// ServeHTTP serves /clients, the paths below it and /openapi.json. Behind another
// prefix, put http.StripPrefix in front. Every answer is JSON, also to an unknown path
// (404) or method (405). It does not redirect.
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

// loggable returns an id of a request if it can be logged: it is not a secret that was
// sent in its place by mistake.
func loggable(id string) string {
	if _, secret := registry.SecretID(id); secret || !registry.ValidID(id) {
		return ""
	}
	return id
}

// timeout bounds the calls of the store in an action, as in the issuer's own endpoints.
// A longer action is answered 503. Its change may have been written.
const timeout = 3 * time.Second

// errTimeout is the cause of that 503.
var errTimeout = errors.New("admin: the store does not answer")

// action does what a request asks for, and returns the answer. It sets the target of
// the event.
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
		body, err = encode(answer)
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

// act does the action. It refuses requests of pages of other origins, unknown query
// parameters, and ids that no client or secret can have.
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
			return 0, nil, registry.ErrNotFound // a database would refuse the query
		}
	}
	return t.do(r, e)
}

// sync makes this process act on a change of the store now instead of within 2 s, as far
// as the time of the request allows, also if the caller has left. An error does not undo
// the change, so it is not answered.
func (a *API) sync(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	bound, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	_ = a.issuer.Sync(bound)
}
