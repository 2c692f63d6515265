package storetest_test

import (
	"testing"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
		store, err := registry.NewMemory(clients...)
		if err != nil {
			t.Fatal(err)
		}
		return store
	})
}
