package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
)

// advice says once what in the configuration does not fit the clients, or their
// requests: what is no error, and hardly meant.
type advice struct {
	config fitted
	tell   func(error, string) // the fault, and the client that it was found at

	mu   sync.Mutex
	told map[string]bool
}

// fitted is the part of the configuration that clients must fit.
type fitted struct {
	resources map[string][]string
	maxTTL    time.Duration
	imported  bool
}

const (
	advicePages = 10 // of the clients that a store lists: the first 5000 are checked
	advicePage  = 500
	adviceNames = 5 // of the clients that an event lists
	adviceRetry = 10 * time.Second
)

func newAdvice(config fitted, tell func(error, string)) *advice {
	return &advice{config: config, tell: tell, told: map[string]bool{}}
}

// faults returns what does not fit the client: what to say of all that have the
// fault.
func (f fitted) faults(c *registry.Client) []string {
	var faults []string
	for _, audience := range c.Audiences {
		if _, known := f.resources[audience]; f.resources != nil && !known {
			faults = append(faults, fmt.Sprintf("the audience %.200q is not in Config.Resources, so its tokens have no scope: add it there, with its scopes", audience))
		}
	}
	if !f.imported && slices.ContainsFunc(c.Secrets, func(s registry.Secret) bool { return !s.Generated() }) {
		faults = append(faults, "imported secrets are refused: set Config.ImportedSecrets, or generate others")
	}
	if c.TokenTTL > f.maxTTL {
		faults = append(faults, fmt.Sprintf("Client.TokenTTL is above Config.MaxTokenTTL and cut to %v: lower the one or raise the other", f.maxTTL))
	}
	return faults
}

// client says what does not fit a client that was read from a store which lists none.
func (a *advice) client(c *registry.Client) {
	if c == nil {
		return
	}
	for _, fault := range a.config.faults(c) {
		a.once(fault, []string{c.ID})
	}
}

// clients says what does not fit the clients that the store lists. The error means
// that it could not list them.
func (a *advice) clients(ctx context.Context, manager registry.Manager) error {
	found := map[string][]string{}
	query := registry.Query{Limit: advicePage}
	for range advicePages {
		page, err := listPage(ctx, manager, query)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for n := range page {
			for _, fault := range a.config.faults(&page[n]) {
				found[fault] = append(found[fault], page[n].ID)
			}
		}
		query.After = page[len(page)-1].ID
	}
	for fault, ids := range found {
		a.once(fault, ids)
	}
	return nil
}

func listPage(ctx context.Context, manager registry.Manager, query registry.Query) ([]registry.Client, error) {
	bound, cancel := context.WithTimeoutCause(ctx, storeTimeout, errStoreStalled)
	defer cancel()
	return manager.List(bound, query)
}

// maxAdvice bounds the faults that are told: audiences are many where Resources is
// for something else.
const maxAdvice = 20

// once says what does not fit the clients, unless it was said before.
func (a *advice) once(fault string, ids []string) {
	a.mu.Lock()
	told := a.told[fault] || len(a.told) >= maxAdvice
	if !told {
		a.told[fault] = true
	}
	a.mu.Unlock()
	if told {
		return
	}
	which := fmt.Sprintf("client %q", ids[0])
	if len(ids) > 1 {
		which = fmt.Sprintf("%d clients, such as %q", len(ids), ids[:min(len(ids), adviceNames)])
	}
	a.tell(fmt.Errorf("issuer: of %s, %s", which, fault), ids[0])
}

// audience says that a request has named an audience by a parameter that is ignored.
func (a *advice) audience(clientID string) {
	a.mu.Lock()
	told := a.told["audience="]
	a.told["audience="] = true
	a.mu.Unlock()
	if !told {
		a.tell(errAudience, clientID)
	}
}

var errAudience = errors.New("issuer: a token request has the parameter audience, which is ignored, as clients of other servers send it: write resource (RFC 8707)")

// advise checks the clients that the store lists. It begins when the issuer is made,
// with one try; the others follow when it is used.
func (i *Issuer) advise(manager registry.Manager) {
	tried := make(chan bool, 1)
	try := func(ctx context.Context) bool { return i.advice.clients(ctx, manager) == nil }
	i.loops.begin(func(ctx context.Context) { tried <- try(ctx) })
	i.loops.add(func(ctx context.Context) {
		done := <-tried
		for !done && pause(ctx, adviceRetry) {
			done = try(ctx)
		}
	})
}

// reportFault sends the event of what does not fit a client.
func (i *Issuer) reportFault(fault error, clientID string) {
	i.tell(context.Background(), Event{Op: event.OpConfig, Reason: event.Misconfigured, Target: clientID, Err: fault})
}
