package storetest

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// Run runs the suite of [registry.Store] as subtests of t, in parallel, and those of
// [registry.Manager], [registry.NetworkRecorder], [registry.NetworkLister] and
// [registry.Checker] where the store implements them.
//
// Each subtest calls open with its own t. open returns a new store that holds the given
// clients and nothing else, and closes it by t.Cleanup. The suite changes the clients
// after open has returned, so a store in memory must hold clones
// (registry.Client.Clone).
func Run(t *testing.T, open func(t *testing.T, clients ...registry.Client) registry.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, opener){
		"Client/found":         clientFound,
		"Client/not found":     clientNotFound,
		"Client/isolated":      clientIsolated,
		"Client/every field":   clientFields,
		"feed/order":           feedOrder,
		"feed/refuses":         feedRefuses,
		"feed/end":             feedEnd,
		"feed/again":           feedAgain,
		"feed/expiry":          feedExpiry,
		"feed/50 at once":      feedFollowed,
		"Once/50 racers":       onceRacers,
		"Once/until":           onceUntil,
		"Once/scopes and ids":  onceDistinct,
		"context that is done": contextDone,
		"feed/clock":           feedClock,
		"Checker":              checker,
		"Manager/refuses":      managed(managerRefuses),
		"Manager/register":     managed(managerRegister),
		"Manager/list":         managed(managerList),
		"Manager/update":       managed(managerUpdate),
		"Manager/every field":  managed(managerFields),
		"Manager/disable":      managed(managerDisable),
		"Manager/delete":       managed(managerDelete),
		"Manager/secrets":      managed(managerSecrets),
		"Manager/rotate":       managed(managerRotate),
		"Manager/revoking":     managed(managerRevokingSecrets),
		"Manager/feed first":   managed(managerFeedFirst),
		"Manager/50 at once":   managed(managerRacers),
		"NetworkRecorder":      networks,
		"NetworkLister":        latestNetworks,
		"Manager/50 ensure":    managed(managerEnsure),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

type opener = func(*testing.T, ...registry.Client) registry.Store

// racers is how many goroutines do the same at once.
const racers = 50

// oddID has characters that are special in patterns, escapes and URLs.
const oddID = ` a:b%c_d\e&f=g+h'i"j$1?2/../ ~ `

func clients() []registry.Client {
	_, first := registry.GenerateSecret()
	_, second := registry.GenerateSecret()
	first.Label, second.Label = "first – ä", "second"
	second.ExpiresAt = time.Now().Add(time.Hour)
	return []registry.Client{
		{
			ID: oddID, Name: "Ünïcode ☃ 100 % 'quoted'", Secrets: []registry.Secret{first, second}, AuthMethod: "client_secret_post",
			Scopes: []string{"orders:write", "orders:read"}, Audiences: []string{"https://b.example/ü?x=1", "https://a.example"},
			DefaultAudience: "https://a.example", TokenTTL: 90 * time.Second, Introspects: []string{"*"},
			Metadata: map[string]string{"tenant": "ä <&> \"'", "empty": "", strings.Repeat("k", 64): strings.Repeat("v", 512)},
			JWKS:     json.RawMessage(oddKeySet), Workloads: []registry.Workload{{Issuer: "https://ci.example", Subject: "a", Audience: "b"}},
		},
		{ID: "plain", Disabled: true},
	}
}

func clientFound(t *testing.T, open opener) {
	want := clients()
	store := open(t, copied(want)...)
	for _, w := range want {
		got, err := store.Client(t.Context(), w.ID)
		if err != nil || got == nil {
			t.Fatalf("Client(%q) = %v, %v", w.ID, got, err)
		}
		switch {
		case got.ID != w.ID || got.Name != w.Name || got.Disabled != w.Disabled || got.AuthMethod != w.AuthMethod:
			t.Errorf("got %+v, want %+v", got, w)
		case got.DefaultAudience != w.DefaultAudience || got.TokenTTL != w.TokenTTL:
			t.Errorf("got %+v, want %+v", got, w)
		case !slices.Equal(got.Scopes, w.Scopes) || !slices.Equal(got.Audiences, w.Audiences) || !slices.Equal(got.Introspects, w.Introspects):
			t.Errorf("lists: got %+v, want %+v in this order", got, w)
		case !maps.Equal(got.Metadata, w.Metadata):
			t.Errorf("metadata: got %q, want %q", got.Metadata, w.Metadata)
		}
		if len(got.Secrets) != len(w.Secrets) {
			t.Fatalf("%d secrets, want %d", len(got.Secrets), len(w.Secrets))
		}
		for i, secret := range got.Secrets {
			want := w.Secrets[i]
			if secret.ID != want.ID || secret.Hash != want.Hash || secret.Label != want.Label || !near(secret.ExpiresAt, want.ExpiresAt) {
				t.Errorf("secret %d: got %+v, want %+v", i, secret, want)
			}
		}
		if err := got.Validate(); err != nil {
			t.Errorf("the client read is not valid: %v", err)
		}
	}
}

func clientNotFound(t *testing.T, open opener) {
	store := open(t, clients()...)
	for _, id := range []string{
		"", "nobody", "PLAIN", "plain ", " plain", "plai", "%", "_____", "plai_", "*", "plain\x00", "\x00", "\xff\xfe", "pläin", "' OR '1'='1",
		strings.Repeat("x", 257), strings.Repeat("x", 1<<20),
	} {
		got, err := store.Client(t.Context(), id)
		if !errors.Is(err, registry.ErrNotFound) || got != nil {
			t.Errorf("Client(%.40q) = %v, %v, want nil and registry.ErrNotFound", id, got, err)
		}
	}
}

// clientIsolated: a caller who changes what it gave to the store does not change
// the store.
func clientIsolated(t *testing.T, open opener) {
	given := clients()
	want := given[0].Secrets[0].Hash
	store := open(t, given...)
	given[0].Scopes[0], given[0].Audiences[0], given[0].Secrets[0].Hash = "admin", "https://evil.example", "changed"
	given[0].Metadata["tenant"] = "changed"
	clear(given[0].JWKS)
	given[0].Workloads[0].Subject = "changed"
	got, err := store.Client(t.Context(), oddID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Scopes[0] != "orders:write" || got.Audiences[0] != "https://b.example/ü?x=1" || got.Secrets[0].Hash != want || got.Metadata["tenant"] == "changed" || string(got.JWKS) != oddKeySet || got.Workloads[0].Subject == "changed" {
		t.Errorf("the store shares memory with its caller: %+v", got)
	}
}

// copied returns a deep copy of the list, so that the store cannot change what the test
// expects.
func copied(list []registry.Client) []registry.Client {
	list = slices.Clone(list)
	for i := range list {
		list[i] = *list[i].Clone()
	}
	return list
}

// near reports whether the times differ by less than a millisecond.
func near(got, want time.Time) bool {
	if got.IsZero() || want.IsZero() {
		return got.IsZero() && want.IsZero()
	}
	return got.Sub(want).Abs() < time.Millisecond
}

// roundedUp is near, for a time that must not be rounded down.
func roundedUp(got, want time.Time) bool {
	return near(got, want) && !got.Before(want)
}
