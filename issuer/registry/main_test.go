package registry

import (
	"runtime"
	"testing"
)

const (
	ordersAPI  = "https://orders.example.com"
	billingAPI = "https://billing.example.com"
)

var appSecret, appStored = GenerateSecret()

// app is the client that most tests use.
func app() Client {
	return Client{
		ID: "app", Secrets: []Secret{appStored},
		Scopes:    []string{"orders:read", "orders:write"},
		Audiences: []string{ordersAPI},
	}
}

func newStore(tb testing.TB, clients ...Client) *Memory {
	tb.Helper()
	store, err := NewMemory(clients...)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// hard returns ids and secrets with special characters. The last has all printable ASCII.
func hard() []string {
	all := make([]byte, 0, 95)
	for c := byte(' '); c <= '~'; c++ {
		all = append(all, c)
	}
	return []string{
		"plain", "a:b", ":", "with space", " ", "  both ends ", "100%", "%41", "%zz", "%", "a+b", "+", "a&b=c", "&", "=",
		`"quoted"`, `back\slash`, `\`, "semi;colon", "#?/@", "~!$'()*,[]{}|<>^`", string(all),
	}
}

// slowHashesIn counts the argon2id hashes of the default cost that f computes. Each
// allocates 19 MiB, and nothing else here allocates as much.
func slowHashesIn(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int((after.TotalAlloc - before.TotalAlloc) / (argonMemory << 10))
}

// seeded adds the seeds, and fails when there are none: a fuzz target without a
// corpus tests nothing in go test.
func seeded[T any](f *testing.F, seeds []T, add func(T)) {
	f.Helper()
	if len(seeds) == 0 {
		f.Fatal("the seed corpus is empty")
	}
	for _, seed := range seeds {
		add(seed)
	}
}
