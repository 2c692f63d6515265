//go:build !nosqlite

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ofRivals are imports of blocks that show what one comes from. Module
// example/bench, which has these dependencies, compiles them.
var ofRivals = regexp.MustCompile(`"github\.com/(auth0/go-jwt-middleware|golang-jwt/jwt|MicahParks/keyfunc)/`)

// ofTelemetry is in blocks of the lines of example/telemetry, a module of its own, whose
// test finds them in its Example.
var ofTelemetry = regexp.MustCompile(`\btelemetry\.New\(`)

// pageModule is a module with every Go block of the pages as a package. It requires
// what this module does.
type pageModule struct {
	dir       string
	addresses map[string]string // of whole programs that listen, by page
}

var thePages = sync.OnceValues(func() (*pageModule, error) {
	m := &pageModule{addresses: map[string]string{}}
	var err error
	if m.dir, err = os.MkdirTemp("", "m2m-pages"); err != nil {
		return nil, err
	}
	scratch = append(scratch, m.dir)
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		text := string(content)
		if name == "go.mod" {
			text = strings.Replace(text, "module "+module, "module example.com/pages", 1) +
				"\nrequire " + module + " v0.0.0\nreplace " + module + " => " + strconv.Quote(root) + "\n"
		}
		if err := m.write(name, text); err != nil {
			return nil, err
		}
	}
	return m, nil
})

func (m *pageModule) write(name, content string) error {
	name = filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(content), 0o600)
}

func (m *pageModule) goTool(args ...string) ([]byte, error) {
	cmd := exec.Command("go", append(args[:1:1], append([]string{"-mod=mod"}, args[1:]...)...)...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	return cmd.CombinedOutput()
}

// folder is the package of a page's block.
func folder(page string, n int) string {
	return fmt.Sprintf("%s_%d", strings.ReplaceAll(strings.TrimSuffix(filepath.Base(page), ".md"), "-", "_"), n)
}

// writePages writes all blocks, once, and returns the source of each by its folder.
var writePages = sync.OnceValues(func() (map[string]string, error) {
	m, err := thePages()
	if err != nil {
		return nil, err
	}
	sources := map[string]string{}
	all, err := readPages()
	if err != nil {
		return nil, err
	}
	for page, text := range all {
		n := 0
		for _, b := range fencedBlocks(text) {
			if b.info != "go" {
				continue
			}
			name, file := folder(page, n), "main.go"
			n++
			if filepath.Base(page) == "README.md" && strings.HasPrefix(page, docs) {
				name = "index_" + name
			}
			source := b.text
			switch {
			case ofRivals.MatchString(source), ofTelemetry.MatchString(source):
				continue
			case strings.HasPrefix(source, "package app_test"):
				file = "app_test.go"
			case !strings.HasPrefix(source, "package "):
				source = fragment(source)
			case strings.Contains(source, "127.0.0.1:8080"):
				if m.addresses[page], err = freeAddress(); err != nil {
					return nil, err
				}
				source = strings.ReplaceAll(source, "127.0.0.1:8080", m.addresses[page])
			}
			sources[name] = source
			if err := m.write(name+"/"+file, source); err != nil {
				return nil, err
			}
		}
	}
	return sources, m.writeChanged(sources)
})

// readmeWithSQLite is the page of the program that the README makes of its first block by
// replacing a line with another block and adding an import.
const readmeWithSQLite = "README-sqlite.md"

func (m *pageModule) writeChanged(sources map[string]string) error {
	const memory, importBefore = "\tstore := &registry.Memory{}\n", "\t\"github.com/echo-m2m/m2m/jwks\"\n"
	all, err := readPages()
	if err != nil {
		return err
	}
	program, lines := sources[folder("../README.md", 0)], ""
	for _, b := range fencedBlocks(all["../README.md"]) {
		if b.info == "go" && strings.HasPrefix(b.text, "store, err := sqlite.Open") {
			lines = b.text
		}
	}
	if lines == "" || !strings.Contains(program, memory) || !strings.Contains(program, importBefore) {
		return errors.New("the README no longer says what to replace by which lines for SQLite")
	}
	program = strings.Replace(program, memory, lines, 1)
	program = strings.Replace(program, importBefore, "\t\"github.com/echo-m2m/m2m/issuer/sqlite\"\n"+importBefore, 1)
	address, err := freeAddress()
	if err != nil {
		return err
	}
	program = strings.ReplaceAll(program, m.addresses["../README.md"], address)
	m.addresses[readmeWithSQLite] = address
	sources[folder(readmeWithSQLite, 0)] = program
	return m.write(folder(readmeWithSQLite, 0)+"/main.go", program)
}

// freeAddress returns an address of the loopback where no other test listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.9.%d.%d:0", rand.IntN(256), 1+rand.IntN(254)))
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// TestDocsCode compiles every Go block of README, SECURITY and the pages. A block
// that is a fragment gets the program of fragment around it. A block that is a test
// is run.
func TestDocsCode(t *testing.T) {
	t.Parallel()
	sources, err := writePages()
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("the pages have %d Go blocks", len(sources))
	}
	m, err := thePages()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := m.goTool("vet", "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
		for name, source := range sources {
			if strings.Contains(string(out), name+"/") {
				t.Logf("%s:\n%s", name, source)
			}
		}
	}
	ran := 0
	for name, source := range sources {
		if !strings.HasPrefix(source, "package app_test") {
			continue
		}
		ran++
		if out, err := m.goTool("test", "./"+name); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if ran == 0 {
		t.Error("no block is a test")
	}
}

// declared finds what a fragment declares, at the start of a line.
var declared = regexp.MustCompile(`(?m)^(\w+)(?:, (\w+))? :=`)

// fragment is a program around some lines. What they declare counts as used.
func fragment(block string) string {
	var used strings.Builder
	for _, names := range declared.FindAllStringSubmatch(block, -1) {
		for _, name := range names[1:] {
			if name != "" {
				used.WriteString("\t_ = " + name + "\n")
			}
		}
	}
	return `package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/issuertest"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/issuer/sqlite"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
	"github.com/echo-m2m/m2m/jwks/profile"
	bearer "github.com/echo-m2m/m2m/middleware"
	"github.com/echo-m2m/m2m/middleware/gateway"
	"github.com/echo-m2m/m2m/middleware/outbound"
)

const authURL, apiURL = "https://auth.example.com", "https://api.example.com"

var (
	ctx              = context.Background()
	keyEncryptionKey []byte
	keys             *jwks.Keyring
	store            registry.Store
	manager          registry.Manager
	iss              *issuer.Issuer
	auth             *bearer.Bearer
	orders           http.Handler
	balancer         middleware.ProxyBalancer
	e                *echo.Echo
	proxies          *net.IPNet
	mux              *http.ServeMux
	oldSecret        string
	reporter         registry.Client
	t                *testing.T
	newApp           func(bearer.Config) http.Handler
	calls            *outbound.Source
	list             echo.HandlerFunc
	secret           []byte
	ours, theirs     *bearer.Bearer
	token            string
	isCustomer       func(context.Context, string) (bool, error)
	invoices         http.Handler

	_ = cmp.Or[string]
	_ = ecdsa.GenerateKey
	_ = elliptic.P256
	_ = rand.Reader
	_ = errors.New
	_ = fmt.Sprint
	_ = log.Print
	_ = os.Getenv
	_ = slices.Contains[[]string]
	_ = strings.Join
	_ = time.Unix
	_ = slog.Info
	_ = issuer.New
	_ = admin.New
	_ = sqlite.Open
	_ = sqlstore.Open
	_ = jwks.Open
	_ = event.Reasons
	_ = pop.NewNonces
	_ = profile.Keycloak
	_ = netip.ParsePrefix
	_ = tls.Dial
	_ = x509.NewCertPool
	_ = bearer.New
	_ = gateway.New
	_ = middleware.Proxy
	_ = outbound.New
	_ = issuertest.New
	_ = httptest.NewServer
)

func main() {
` + block + used.String() + `
}
`
}
