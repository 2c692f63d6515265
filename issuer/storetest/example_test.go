package storetest_test

import (
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

// The whole test of a store of your own. In a file of your package write it as
//
//	func TestStore(t *testing.T) { … }
//
// and run go test -race.
func ExampleRun() {
	testStore := func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
			store, err := registry.NewMemory(clients...) // write here how your store is opened
			if err != nil {
				t.Fatal(err)
			}
			// If it has a Close, call that in t.Cleanup.
			return store
		})
	}
	_ = testStore
}
