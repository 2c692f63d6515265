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

// advice reports, once each, faults of the configuration that are not errors: it does
// not fit the clients or their requests, which is hardly intended.
type advice struct {
	config fitted
	report func(fault error, clientID string) // one client that has the fault

	mu       sync.Mutex
	reported map[string]bool
}

// fitted is the part of the configuration that clients should fit.
type fitted struct {
	resources map[string][]string
	maxTTL    time.Duration
	imported  bool
	trusted   map[string]*trustedIssuer

	certificates *ClientCertificates
	dpop         bool
}

const (
	advicePages = 10 // the first 5000 clients are checked
	advicePage  = 500
	adviceNames = 5 // clients that an event names
	adviceRetry = 10 * time.Second
)

func newAdvice(config fitted, report func(fault error, clientID string)) *advice {
	return &advice{config: config, report: report, reported: map[string]bool{}}
}

// faults returns what does not fit the client, in a text that is the same for all
// clients with the fault.
func (f fitted) faults(c *registry.Client) []string {
	var faults []string
	for _, audience := range c.Audiences {
		if _, known := f.resources[audience]; f.resources != nil && !known {
			faults = append(faults, fmt.Sprintf("the audience %.200q is not in Config.Resources, so its tokens have no scopes: add it there, with its scopes", audience))
		}
	}
	if !f.imported && slices.ContainsFunc(c.Secrets, func(s registry.Secret) bool { return !s.Generated() }) {
		faults = append(faults, "imported secrets are refused: set Config.ImportedSecrets, or generate new secrets")
	}
	for n := range c.Workloads {
		if issuer := c.Workloads[n].Issuer; f.trusted[issuer] == nil {
			faults = append(faults, fmt.Sprintf("the issuer %.200q of a workload is not in Config.WorkloadIssuers, so its tokens are refused: add it there", issuer))
		}
	}
	faults = append(faults, f.boundFaults(c)...)
	if c.TokenTTL > f.maxTTL {
		faults = append(faults, fmt.Sprintf("Client.TokenTTL is above Config.MaxTokenTTL and is cut to %v: lower the first or raise the second", f.maxTTL))
	}
	return faults
}

// client reports what does not fit a client. It is used with a store that cannot list
// its clients.
func (a *advice) client(c *registry.Client) {
	if c == nil {
		return
	}
	for _, fault := range a.config.faults(c) {
		a.once(fault, []string{c.ID})
	}
}

// clients reports what does not fit the clients that the store lists. The error means
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

// maxAdvice bounds the reported faults: there is one per audience that is not in
// Resources.
const maxAdvice = 20

// once reports the fault of the clients, unless it was reported before.
func (a *advice) once(fault string, ids []string) {
	a.mu.Lock()
	reported := a.reported[fault] || len(a.reported) >= maxAdvice
	if !reported {
		a.reported[fault] = true
	}
	a.mu.Unlock()
	if reported {
		return
	}
	which := fmt.Sprintf("client %q", ids[0])
	if len(ids) > 1 {
		which = fmt.Sprintf("%d clients, such as %q", len(ids), ids[:min(len(ids), adviceNames)])
	}
	a.report(fmt.Errorf("issuer: of %s, %s", which, fault), ids[0])
}

// audience reports that a token request has the parameter audience.
func (a *advice) audience(clientID string) {
	a.mu.Lock()
	reported := a.reported["audience="]
	a.reported["audience="] = true
	a.mu.Unlock()
	if !reported {
		a.report(errAudience, clientID)
	}
}

var errAudience = errors.New("issuer: a token request has the parameter audience, which some other servers use and this one ignores: write resource (RFC 8707)")

// advise checks the clients that the store lists: once right away, and if that fails,
// again once the issuer is used.
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
