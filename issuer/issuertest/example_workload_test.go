package issuertest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

// In a file of yours it is func TestPod. The program under test reads the token that the
// cluster puts into a file.
func testPod(t *testing.T) {
	cluster := issuertest.NewWorkload(t, issuertest.Kubernetes)
	idp := issuertest.New(t, func(c *issuer.Config) { c.WorkloadIssuers = []issuer.WorkloadIssuer{cluster.Trust()} })
	idp.Register(t, registry.Client{ID: "reports", Workloads: []registry.Workload{cluster.Entry(idp.URL())}})
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(cluster.Token(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, err := outbound.New(outbound.Config{
		Issuer: idp.URL(), ClientID: "reports", Assertion: outbound.WorkloadToken(path), HTTP: &http.Client{Transport: idp.Transport(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	if _, err := calls.Token(t.Context()); err != nil {
		t.Error(err)
	}
}

// A pod gets tokens with its service account token instead of a secret.
func ExampleNewWorkload() {
	_ = testPod
}
