package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module  = "github.com/echo-m2m/m2m"
	echoPkg = "github.com/labstack/echo"
	jwxPkg  = "github.com/lestrrat-go/jwx"
)

// rooms is the table of DESIGN.md: which rooms of ours a room's own files may
// import. "jwks/*" is every room below jwks.
var rooms = map[string][]string{
	"jwks/event":                 {},
	"jwks/jose":                  {},
	"jwks/fetch":                 {"jwks/jose"},
	"jwks":                       {"jwks/jose", "jwks/fetch"},
	"jwks/profile":               {"jwks/jose"},
	"jwks/pop":                   {"jwks/jose"},
	"issuer/registry":            {},
	"issuer":                     {"jwks", "jwks/*", "issuer/registry"},
	"issuer/sqlstore":            {"issuer/registry", "jwks"},
	"issuer/sqlite":              {"issuer/registry", "jwks", "issuer/sqlstore"}, // one row of the table with sqlstore
	"issuer/storetest":           {"issuer/registry"},
	"issuer/admin":               {"issuer", "issuer/registry"},
	"issuer/issuertest":          {"jwks", "jwks/*", "issuer", "issuer/*", "middleware", "middleware/*"},
	"middleware":                 {"jwks", "jwks/*", "middleware/internal/recent"},
	"middleware/internal/recent": {},
	"middleware/gateway":         {"middleware", "middleware/internal/recent", "jwks", "jwks/*"}, // the keyring of internal tokens, and recent for their cache
	"middleware/outbound":        {"jwks/fetch", "jwks/pop", "jwks/jose"},
}

// Every room may import jwks/event, and every room but these jwks/jose.
var withoutJOSE = []string{"jwks/event", "issuer/registry", "issuer/storetest", "middleware/internal/recent"}

func mayImport(room, imported string) bool {
	switch imported {
	case "jwks/event":
		return room != "jwks/event"
	case "jwks/jose":
		return !slices.Contains(withoutJOSE, room)
	}
	return slices.ContainsFunc(rooms[room], func(allowed string) bool {
		below, all := strings.CutSuffix(allowed, "/*")
		return imported == allowed || all && path.Dir(imported) == below
	})
}

// TestRooms holds what each room imports against the table.
func TestRooms(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if within(p.path, module+"/example") {
			continue // may import all of it
		}
		room := strings.TrimPrefix(p.path, module+"/")
		if _, known := rooms[room]; !known {
			t.Errorf("%s is not in the table of rooms", room)
		}
		for _, imported := range p.imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok && !mayImport(room, ours) {
				t.Errorf("%s imports %s, which the table of rooms does not allow", room, ours)
			}
		}
	}
}

// Packages that are, or register, a database driver.
var drivers = []string{
	"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/jackc/pgx", "github.com/lib/pq",
	"github.com/go-sql-driver/mysql", "github.com/microsoft/go-mssqldb", "github.com/ncruces/go-sqlite3",
}

// TestRoomsLink holds what a program that imports a room links, whatever the way,
// against what the room promises its users.
func TestRoomsLink(t *testing.T) {
	t.Parallel()
	rules := map[string][]string{
		"jwks/event":                 {echoPkg, jwxPkg, "net/http", "database/sql"},
		"jwks":                       {echoPkg, "database/sql"},
		"jwks/pop":                   {echoPkg, "database/sql"},
		"jwks/profile":               {echoPkg, "database/sql"},
		"issuer/registry":            {echoPkg, jwxPkg, "net/http", "database/sql"},
		"issuer/storetest":           {echoPkg, jwxPkg, "net/http", "database/sql"},
		"issuer/sqlstore":            append([]string{echoPkg}, drivers...),
		"issuer/sqlite":              {echoPkg},
		"issuer":                     append([]string{"database/sql"}, drivers...),
		"middleware":                 append([]string{"database/sql"}, drivers...),
		"middleware/gateway":         append([]string{"database/sql"}, drivers...),
		"middleware/internal/recent": {echoPkg, jwxPkg, "net/http"},
		"middleware/outbound":        {echoPkg, module + "/issuer", module + "/middleware/internal", "database/sql", "google.golang.org/grpc"},
		"example/clients":            {echoPkg},
	}
	args := []string{"-f", `{{.ImportPath}} {{join .Deps " "}}`}
	for room := range rules {
		args = append(args, module+"/"+room)
	}
	listed := goList(t, args...)
	if len(listed) != len(rules) {
		t.Fatalf("%d packages are listed, want %d", len(listed), len(rules))
	}
	for _, line := range listed {
		names := strings.Fields(line)
		room := strings.TrimPrefix(names[0], module+"/")
		forbidden, ok := rules[room]
		if !ok {
			t.Fatalf("%s is listed", names[0])
		}
		for _, linked := range names {
			if i := slices.IndexFunc(forbidden, func(path string) bool { return within(linked, path) }); i >= 0 {
				t.Errorf("%s links %s: it must do without %s", room, linked, forbidden[i])
			}
		}
	}
}

// TestNoTestCode wants no code for tests in a program that uses the library, whatever the
// way it would get there.
func TestNoTestCode(t *testing.T) {
	t.Parallel()
	forTests := []string{module + "/issuer/issuertest", module + "/issuer/storetest"} // import the rest, and only tests import them
	listed := goList(t, "-f", `{{.ImportPath}} {{join .Deps " "}}`, "../...")
	for _, line := range listed {
		names := strings.Fields(line)
		if slices.Contains(forTests, names[0]) {
			continue
		}
		for _, linked := range names[1:] {
			if linked == "testing" || slices.Contains(forTests, linked) || linked == "net/http/httptest" && !within(names[0], module+"/example") {
				t.Errorf("%s links %s", names[0], linked)
			}
		}
	}
	for _, room := range append(forTests, module+"/issuer", module+"/middleware", module+"/jwks") {
		if !slices.ContainsFunc(listed, func(line string) bool { return strings.HasPrefix(line, room+" ") }) {
			t.Errorf("%s is not listed", room)
		}
	}
}

// TestConfined holds each dependency that is no longer maintained to its files:
// moving off it must be a change of those alone.
func TestConfined(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for dependency, may := range map[string][]string{
		jwxPkg:                          {"jwks/jose/jwk.go"},
		echoPkg:                         {"issuer/admin/echo.go", "issuer/echo.go", "middleware/echo.go", "middleware/gateway/echo.go", "middleware/notfound.go"},
		"github.com/patrickmn/go-cache": {"middleware/answers.go"},
	} {
		var found []string
		for _, p := range all {
			if within(p.path, module+"/example") {
				continue
			}
			for _, file := range p.files {
				if slices.ContainsFunc(importsOf(t, file), func(imported string) bool { return within(imported, dependency) }) {
					found = append(found, strings.TrimPrefix(filepath.ToSlash(file), "../"))
				}
			}
		}
		slices.Sort(found)
		if !slices.Equal(found, may) {
			t.Errorf("%s is imported by %q, want %q", dependency, found, may)
		}
	}
	for _, p := range all {
		if p.path == module+"/jwks/jose" && slices.Contains(p.imports, "net/http") {
			t.Error("jwks/jose imports net/http")
		}
	}
}

// TestTopLevel holds what is visible at the top against the agreed list.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	agreed := []string{"CHANGELOG.md", "LICENSE", "README.md", "example", "go.mod", "go.sum", "issuer", "jwks", "middleware"}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(agreed, name) {
			t.Errorf("%s is at the top level, which is %q", name, agreed)
		}
	}
}

// room is a package of this module, without its tests.
type room struct {
	path    string
	imports []string
	files   []string
}

func packages(t *testing.T) (found []room) {
	t.Helper()
	for _, line := range goList(t, "-f", `{{.ImportPath}}|{{join .Imports " "}}|{{.Dir}}|{{join .GoFiles " "}}`, "../...") {
		fields := strings.Split(line, "|")
		p := room{path: fields[0], imports: strings.Fields(fields[1])}
		below := strings.TrimPrefix(strings.TrimPrefix(p.path, module), "/")
		for file := range strings.FieldsSeq(fields[3]) {
			p.files = append(p.files, filepath.Join("..", filepath.FromSlash(below), file))
		}
		found = append(found, p)
	}
	return found
}

func parse(t *testing.T, file string, mode parser.Mode) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, mode|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func importsOf(t *testing.T, file string) (paths []string) {
	t.Helper()
	for _, spec := range parse(t, file, parser.ImportsOnly).Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, imported)
	}
	return paths
}

// within reports whether a package is path or lies below it.
func within(imported, path string) bool {
	return imported == path || strings.HasPrefix(imported, path+"/")
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if lines[0] == "" {
		t.Fatalf("go list %s lists nothing", strings.Join(args, " "))
	}
	return lines
}
