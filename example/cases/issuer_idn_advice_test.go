package cases

import (
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
)

func TestIDNAdvice(t *testing.T) {
	w := newWorld(t)
	_, err := issuer.New(issuer.Config{Issuer: strings.TrimSpace(input(t, "issuer-idn-advice/issuer.txt")), Keys: w.keys, Store: &registry.Memory{}})
	if err == nil || strings.Contains(err.Error(), "%C3%BC") {
		t.Error(err)
	}
}
