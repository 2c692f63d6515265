package main

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/pop"
	"github.com/echo-m2m/m2m/jwks/profile"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/gateway"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// zeroValues has a pointer to the zero value of every exported type.
var zeroValues = map[string]any{
	"issuer.ClientCertificates":           new(issuer.ClientCertificates),
	"issuer.Config":                       new(issuer.Config),
	"issuer.Error":                        new(issuer.Error),
	"issuer.Event":                        new(issuer.Event),
	"issuer.Grant":                        new(issuer.Grant),
	"issuer.Issuer":                       new(issuer.Issuer),
	"issuer.Status":                       new(issuer.Status),
	"issuer.WorkloadIssuer":               new(issuer.WorkloadIssuer),
	"issuer/admin.API":                    new(admin.API),
	"issuer/admin.Config":                 new(admin.Config),
	"issuer/admin.Event":                  new(admin.Event),
	"issuer/admin.Record":                 new(admin.Record),
	"issuer/issuertest.Fault":             new(issuertest.Fault),
	"issuer/issuertest.Issuer":            new(issuertest.Issuer),
	"issuer/issuertest.Option":            new(issuertest.Option),
	"issuer/issuertest.Switch":            new(issuertest.Switch),
	"issuer/issuertest.Workload":          new(issuertest.Workload),
	"issuer/issuertest.WorkloadKind":      new(issuertest.WorkloadKind),
	"issuer/registry.Change":              new(registry.Change),
	"issuer/registry.Client":              new(registry.Client),
	"issuer/registry.Checker":             new(registry.Checker),
	"issuer/registry.InvalidError":        new(registry.InvalidError),
	"issuer/registry.ClientNetwork":       new(registry.ClientNetwork),
	"issuer/registry.NetworkLister":       new(registry.NetworkLister),
	"issuer/registry.NetworkRecorder":     new(registry.NetworkRecorder),
	"issuer/registry.Rotation":            new(registry.Rotation),
	"issuer/registry.Workload":            new(registry.Workload),
	"issuer/registry.Kind":                new(registry.Kind),
	"issuer/registry.Manager":             new(registry.Manager),
	"issuer/registry.Memory":              new(registry.Memory),
	"issuer/registry.Page":                new(registry.Page),
	"issuer/registry.Query":               new(registry.Query),
	"issuer/registry.Secret":              new(registry.Secret),
	"issuer/registry.SecretUse":           new(registry.SecretUse),
	"issuer/registry.Store":               new(registry.Store),
	"issuer/registry.UseRecorder":         new(registry.UseRecorder),
	"issuer/sqlstore.Config":              new(sqlstore.Config),
	"issuer/sqlstore.Status":              new(sqlstore.Status),
	"issuer/sqlstore.Store":               new(sqlstore.Store),
	"jwks.Checker":                        new(jwks.Checker),
	"jwks.Event":                          new(jwks.Event),
	"jwks.Fixed":                          new(jwks.Fixed),
	"jwks.ClockStore":                     new(jwks.ClockStore),
	"jwks.KeyStore":                       new(jwks.KeyStore),
	"jwks.Keyring":                        new(jwks.Keyring),
	"jwks.KeyringProblem":                 new(jwks.KeyringProblem),
	"jwks.KeyringStatus":                  new(jwks.KeyringStatus),
	"jwks.NetworkKey":                     new(jwks.NetworkKey),
	"jwks.Policy":                         new(jwks.Policy),
	"jwks.Remote":                         new(jwks.Remote),
	"jwks.RemoteConfig":                   new(jwks.RemoteConfig),
	"jwks.RemoteStatus":                   new(jwks.RemoteStatus),
	"jwks.SetFile":                        new(jwks.SetFile),
	"jwks.Source":                         new(jwks.Source),
	"jwks/event.Event":                    new(event.Event),
	"jwks/event.Op":                       new(event.Op),
	"jwks/event.Reason":                   new(event.Reason),
	"jwks/fetch.Client":                   new(fetch.Client),
	"jwks/fetch.Document":                 new(fetch.Document),
	"jwks/fetch.Metadata":                 new(fetch.Metadata),
	"jwks/fetch.Request":                  new(fetch.Request),
	"jwks/fetch.StatusError":              new(fetch.StatusError),
	"jwks/jose.JWS":                       new(jose.JWS),
	"jwks/jose.Key":                       new(jose.Key),
	"jwks/jose.Object":                    new(jose.Object),
	"jwks/jose.Set":                       new(jose.Set),
	"jwks/jose.Signer":                    new(jose.Signer),
	"jwks/jose.Skipped":                   new(jose.Skipped),
	"jwks/pop.Config":                     new(pop.Config),
	"jwks/pop.Error":                      new(pop.Error),
	"jwks/pop.Nonces":                     new(pop.Nonces),
	"jwks/pop.Proof":                      new(pop.Proof),
	"jwks/pop.Prover":                     new(pop.Prover),
	"jwks/pop.ReplayFunc":                 new(pop.ReplayFunc),
	"jwks/pop.Request":                    new(pop.Request),
	"jwks/pop.Verifier":                   new(pop.Verifier),
	"jwks/profile.Error":                  new(profile.Error),
	"jwks/profile.Identity":               new(profile.Identity),
	"jwks/profile.Profile":                new(profile.Profile),
	"jwks/profile.Want":                   new(profile.Want),
	"middleware.Bearer":                   new(bearer.Bearer),
	"middleware.Check":                    new(bearer.Check),
	"middleware.ClientCertificates":       new(bearer.ClientCertificates),
	"middleware.Config":                   new(bearer.Config),
	"middleware.Confirmation":             new(bearer.Confirmation),
	"middleware.DPoP":                     new(bearer.DPoP),
	"middleware.EchoGuard":                new(bearer.EchoGuard),
	"middleware.EchoOptions":              new(bearer.EchoOptions),
	"middleware.Error":                    new(bearer.Error),
	"middleware.Event":                    new(bearer.Event),
	"middleware.Explanation":              new(bearer.Explanation),
	"middleware.Introspection":            new(bearer.Introspection),
	"middleware.Resource":                 new(bearer.Resource),
	"middleware.Status":                   new(bearer.Status),
	"middleware.Tenants":                  new(bearer.Tenants),
	"middleware.Token":                    new(bearer.Token),
	"middleware/gateway.Claim":            new(gateway.Claim),
	"middleware/gateway.ClientCount":      new(gateway.ClientCount),
	"middleware/gateway.Config":           new(gateway.Config),
	"middleware/gateway.Event":            new(gateway.Event),
	"middleware/gateway.ForwardConfig":    new(gateway.ForwardConfig),
	"middleware/gateway.Forwarder":        new(gateway.Forwarder),
	"middleware/gateway.Gateway":          new(gateway.Gateway),
	"middleware/gateway.Internal":         new(gateway.Internal),
	"middleware/gateway.Limit":            new(gateway.Limit),
	"middleware/gateway.Limits":           new(gateway.Limits),
	"middleware/gateway.Outcome":          new(gateway.Outcome),
	"middleware/gateway.Policy":           new(gateway.Policy),
	"middleware/gateway.Report":           new(gateway.Report),
	"middleware/gateway.Rule":             new(gateway.Rule),
	"middleware/gateway.RuleStatus":       new(gateway.RuleStatus),
	"middleware/gateway.Status":           new(gateway.Status),
	"middleware/outbound.Assertion":       new(outbound.Assertion),
	"middleware/outbound.CertificateFunc": new(outbound.CertificateFunc),
	"middleware/outbound.Config":          new(outbound.Config),
	"middleware/outbound.Error":           new(outbound.Error),
	"middleware/outbound.Event":           new(outbound.Event),
	"middleware/outbound.PerRPC":          new(outbound.PerRPC),
	"middleware/outbound.ProofKey":        new(outbound.ProofKey),
	"middleware/outbound.SecretFunc":      new(outbound.SecretFunc),
	"middleware/outbound.Source":          new(outbound.Source),
	"middleware/outbound.Status":          new(outbound.Status),
	"middleware/outbound.Token":           new(outbound.Token),
}

// plainData are types of data, whose methods a nil pointer need not have.
var plainData = []string{"issuer.Error", "issuer/registry.Change", "issuer/registry.Client", "issuer/registry.Secret", "jwks/fetch.StatusError", "jwks/pop.Error", "jwks/profile.Error", "middleware.Error", "middleware/outbound.Error"}

// TestZeroValues calls every method of the zero value of every exported type of
// the library, and of a nil pointer to it, if it is more than data. Whatever they
// answer, none may panic, hang or let a request in.
func TestZeroValues(t *testing.T) {
	var types []string
	for name, e := range exported(t) {
		if e.isType {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	if listed := slices.Sorted(maps.Keys(zeroValues)); !slices.Equal(types, listed) {
		for _, name := range types {
			if !slices.Contains(listed, name) {
				t.Errorf("zeroValues lacks %s", name)
			}
		}
		for _, name := range listed {
			if !slices.Contains(types, name) {
				t.Errorf("zeroValues has %s, which is no exported type", name)
			}
		}
	}
	methods := 0
	for name, pointer := range zeroValues {
		of := reflect.ValueOf(pointer)
		if of.Elem().Kind() == reflect.Interface {
			continue // its zero value is nil
		}
		for i := range of.NumMethod() {
			methods++
			method := of.Type().Method(i).Name
			callZero(t, name+"."+method+" of the zero value", reflect.New(of.Type().Elem()).Method(i))
			if _, byValue := of.Type().Elem().MethodByName(method); !byValue && !slices.Contains(plainData, name) {
				callZero(t, name+"."+method+" of nil", reflect.Zero(of.Type()).Method(i))
			}
		}
	}
	if methods < 50 {
		t.Errorf("%d methods were called: the test has lost its subject", methods)
	}
}

// callZero calls a method with harmless arguments and reports a panic or a hang.
func callZero(t *testing.T, what string, method reflect.Value) {
	t.Helper()
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		results := method.Call(arguments(t, method.Type()))
		for _, result := range results {
			serve(result) // a handler, or a middleware's, is called too
		}
	}()
	select {
	case panicked := <-ended:
		if panicked != nil {
			t.Errorf("%s: panic: %v", what, panicked)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("%s: no answer in 30 s", what)
	}
}

// serve sends a request through a handler, or through a middleware of Echo's.
func serve(result reflect.Value) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	switch result := result.Interface().(type) {
	case http.Handler:
		if !isNil(reflect.ValueOf(result)) {
			result.ServeHTTP(httptest.NewRecorder(), r)
		}
	case echo.MiddlewareFunc:
		e := echo.New()
		e.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusTeapot) }, result)
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code < 400 || w.Code == http.StatusTeapot {
			panic("a guard that was not set up let a request in")
		}
	}
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}

// arguments are harmless values for the parameters of a method.
func arguments(t *testing.T, of reflect.Type) (in []reflect.Value) {
	e := echo.New()
	usual := []any{httptest.NewRequest(http.MethodGet, "/", nil), e, e.Group("/group")}
	for i := range of.NumIn() {
		typ := of.In(i)
		switch {
		case of.IsVariadic() && i == of.NumIn()-1:
			return in
		case typ == reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(t.Context()))
		case typ == reflect.TypeFor[http.ResponseWriter]():
			in = append(in, reflect.ValueOf(httptest.NewRecorder()))
		case typ == reflect.TypeFor[http.Handler]():
			in = append(in, reflect.ValueOf(http.NotFoundHandler()))
		default:
			value := reflect.Zero(typ)
			for _, u := range usual {
				if reflect.TypeOf(u) == typ {
					value = reflect.ValueOf(u)
				}
			}
			in = append(in, value)
		}
	}
	return in
}
