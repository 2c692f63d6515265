package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/echo-m2m/m2m/middleware/gateway"
)

// routes are those that the policy guards, as the router has them.
var routes = []string{"/orders", "/orders/*", "/invoices", "/invoices/*"}

// builtIn is the policy without POLICY.
func builtIn() (*gateway.Policy, error) {
	var rules []gateway.Rule
	for _, name := range []string{"orders", "invoices"} {
		for _, route := range []string{"/" + name, "/" + name + "/*"} {
			rules = append(rules,
				gateway.Rule{Route: route, Methods: []string{"GET"}, Scopes: []string{name + ":read"}}, // and HEAD
				gateway.Rule{Route: route, Scopes: []string{name + ":write"}},
			)
		}
	}
	return gateway.NewPolicy(rules...)
}

// policyFiles are the paths of POLICY and SHADOW; "" if one is not set.
type policyFiles struct{ policy, shadow string }

func (f policyFiles) load() (policy, shadow *gateway.Policy, err error) {
	if f.policy == "" {
		policy, err = builtIn()
	} else if policy, err = gateway.LoadPolicy(f.policy); err != nil {
		err = fmt.Errorf("POLICY: %w", err)
	}
	if err != nil || f.shadow == "" {
		return policy, nil, err
	}
	if shadow, err = gateway.LoadPolicy(f.shadow); err != nil {
		return nil, nil, fmt.Errorf("SHADOW: %w", err)
	}
	return policy, shadow, nil
}

// swapOnSignal reads the files again on SIGHUP. If one is broken, both policies stay in
// force. The func it returns ends that.
func (f policyFiles) swapOnSignal(gw *gateway.Gateway) func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			policy, shadow, err := f.load()
			if err == nil {
				err = gw.Swap(policy, shadow)
			}
			if err != nil {
				log.Print("SIGHUP: the old policy stays in force: ", err)
				continue
			}
			log.Print("SIGHUP: the policy was swapped\n", describe(policy, shadow))
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// describe returns the policies as text, with the rules and routes that do not fit.
func describe(policy, shadow *gateway.Policy) string {
	text := policy.String() + misfits(policy)
	if shadow != nil {
		text += "shadow " + shadow.String() + misfits(shadow)
	}
	return text
}

// misfits names routes without a rule, and rules without a route.
func misfits(policy *gateway.Policy) (text string) {
	unruled := slices.Clone(routes)
	for _, rule := range policy.Rules() {
		if !slices.Contains(routes, rule.Route) {
			text += fmt.Sprintf("WARNING: the rule for %s never decides: the routes are %q\n", rule.Route, routes)
		}
		unruled = slices.DeleteFunc(unruled, func(route string) bool { return route == rule.Route && !rule.Shadow })
	}
	for _, route := range unruled {
		text += fmt.Sprintf("%s has no rule, so all requests for it are refused\n", route)
	}
	return text
}
