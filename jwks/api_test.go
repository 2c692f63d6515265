package jwks

import (
	"bytes"
	"fmt"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/echo-m2m/m2m"
	jwx    = "github.com/lestrrat-go/"
)

// No type of jwx can be reached from what this module exports, so that it can
// move to another version without a change to its users.
func TestNoJWXInTheAPI(t *testing.T) {
	rooms := strings.Fields(goList(t, "./jwks/...", "./issuer/...", "./middleware/..."))
	if testing.Short() { // SQLite takes long to build
		rooms = slices.DeleteFunc(rooms, func(path string) bool { return path == module+"/issuer/sqlite" })
	}
	const format = `{{.ImportPath}} {{.Export}} {{.DepOnly}}`
	out := goList(t, append([]string{"-e", "-export", "-deps", "-f", format}, rooms...)...)
	exports := map[string]string{}
	var ours []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 3 {
			exports[f[0]] = f[1]
			if f[2] == "false" {
				ours = append(ours, f[0])
			}
		}
	}
	imported := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		file, err := os.ReadFile(exports[path])
		return io.NopCloser(bytes.NewReader(file)), err
	})
	walk := func(path string) *surface {
		pkg, err := imported.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		s := &surface{seen: map[types.Type]bool{}}
		for _, name := range pkg.Scope().Names() {
			if object := pkg.Scope().Lookup(name); object.Exported() {
				s.names++
				s.visit(pkg.Name()+"."+name, object.Type())
			}
		}
		return s
	}
	for _, path := range ours {
		s := walk(path)
		t.Logf("%s exports %d names, %d types reached", path, s.names, len(s.seen))
		for _, found := range s.found {
			t.Error(found)
		}
		if s.names == 0 {
			t.Errorf("%s exports nothing", path)
		}
	}
	for _, name := range []string{"jwks", "issuer", "middleware"} {
		if !slices.Contains(ours, module+"/"+name) {
			t.Errorf("%s does not build", name)
		}
	}
	if s := walk(jwkPackage(t)); len(s.found) < 10 {
		t.Errorf("this test finds only %q in jwx itself", s.found)
	}
}

// goList returns what go list prints in the module's folder.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// jwkPackage is the package of jwx that package jose imports, of whichever version.
func jwkPackage(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("jose", "jwk.go"), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil && strings.HasPrefix(path, jwx) && strings.HasSuffix(path, "/jwk") {
			return path
		}
	}
	t.Fatal("package jose imports no jwk package")
	return ""
}

// surface walks the types that a package's users can name or be given.
type surface struct {
	seen  map[types.Type]bool
	found []string
	names int
}

func (s *surface) visit(where string, typ types.Type) {
	if s.seen[typ] {
		return
	}
	s.seen[typ] = true
	switch t := typ.(type) {
	case *types.Alias:
		s.named(where, t.Obj())
		s.visit(where, t.Rhs())
	case *types.Named:
		s.named(where, t.Obj())
		for arg := range t.TypeArgs().Types() {
			s.visit(where+"[…]", arg)
		}
		if pkg := t.Obj().Pkg(); pkg == nil || !strings.HasPrefix(pkg.Path(), module) && !strings.HasPrefix(pkg.Path(), jwx) {
			return // another module
		}
		for method := range t.Methods() {
			if method.Exported() {
				s.visit(where+"."+method.Name(), method.Signature())
			}
		}
		s.visit(where, t.Underlying())
	case *types.Pointer:
		s.visit(where, t.Elem())
	case *types.Slice:
		s.visit(where, t.Elem())
	case *types.Array:
		s.visit(where, t.Elem())
	case *types.Chan:
		s.visit(where, t.Elem())
	case *types.Map:
		s.visit(where, t.Key())
		s.visit(where, t.Elem())
	case *types.Signature:
		for parameter := range t.Params().Variables() {
			s.visit(where+"(…)", parameter.Type())
		}
		for result := range t.Results().Variables() {
			s.visit(where+"()", result.Type())
		}
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() || field.Embedded() {
				s.visit(where+"."+field.Name(), field.Type())
			}
		}
	case *types.Interface:
		for method := range t.Methods() {
			if method.Exported() {
				s.visit(where+"."+method.Name(), method.Signature())
			}
		}
	case *types.TypeParam:
		s.visit(where, t.Constraint())
	case *types.Union:
		for term := range t.Terms() {
			s.visit(where, term.Type())
		}
	}
}

func (s *surface) named(where string, name *types.TypeName) {
	if name.Pkg() != nil && strings.HasPrefix(name.Pkg().Path(), jwx) {
		s.found = append(s.found, fmt.Sprintf("%s is a %s.%s", where, name.Pkg().Path(), name.Name()))
	}
}
