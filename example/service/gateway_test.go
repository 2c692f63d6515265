package service

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

func TestLoadGateway(t *testing.T) {
	const own = "http://127.0.0.1:8080"
	names := []string{"ISSUER", "JWKS_URL", "AUDIENCE", "UPSTREAM_ORDERS", "UPSTREAM_INVOICES", "POLICY", "SHADOW", "JWKS_COOLDOWN"}
	load := func(t *testing.T, env ...string) (Gateway, error) {
		t.Helper()
		for _, name := range names {
			t.Setenv(name, "")
		}
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			t.Setenv(name, value)
		}
		return LoadGateway(own)
	}
	if g, err := load(t); err != nil || !reflect.DeepEqual(g, Gateway{Audience: own + "/v1"}) {
		t.Errorf("nothing is set: %+v, %v", g, err)
	}
	g, err := load(t, "ISSUER=https://auth.example.com/", "JWKS_URL=https://auth.example.com/keys", "UPSTREAM_ORDERS=http://orders.internal:9000/base", "POLICY=p.json", "SHADOW=s.json", "JWKS_COOLDOWN=5s")
	if err != nil || g.Orders == nil || g.Orders.String() != "http://orders.internal:9000/base" || g.Invoices != nil {
		t.Fatalf("%+v, %v", g, err)
	}
	g.Orders = nil
	if want := (Gateway{Issuer: "https://auth.example.com/", JWKSURL: "https://auth.example.com/keys", Audience: "https://auth.example.com/v1", Policy: "p.json", Shadow: "s.json", Remote: jwks.RemoteConfig{Cooldown: 5 * time.Second}}); !reflect.DeepEqual(g, want) {
		t.Errorf("%+v, want %+v", g, want)
	}
	if g, err := load(t, "AUDIENCE=https://api.example.com"); err != nil || g.Audience != "https://api.example.com" {
		t.Errorf("%+v, %v", g, err)
	}
	for env, says := range map[string]string{
		"ISSUER=auth.example.com":                        "ISSUER",
		"JWKS_URL=https://auth.example.com/keys":         "ISSUER",
		"UPSTREAM_ORDERS=orders.internal:9000":           "UPSTREAM_ORDERS",
		"UPSTREAM_ORDERS=http://orders.internal/?a=b":    "query",
		"UPSTREAM_INVOICES=http://orders.internal/#a":    "fragment",
		"UPSTREAM_INVOICES=http://:pass@orders.internal": "user",
		"JWKS_COOLDOWN=soon":                             "JWKS_COOLDOWN",
	} {
		if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: %v", env, err)
		}
	}
}
