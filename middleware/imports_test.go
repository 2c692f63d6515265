package middleware

import (
	"go/parser"
	"go/token"
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
	echoV  = "github.com/labstack/echo"
	jwxV   = "github.com/lestrrat-go/jwx"
)

// Packages that are, or register, a database driver.
var drivers = []string{
	"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/jackc/pgx", "github.com/lib/pq",
	"github.com/go-sql-driver/mysql", "github.com/microsoft/go-mssqldb", "github.com/ncruces/go-sqlite3",
}

// Rooms, and who may know whom: DESIGN's rules, kept by a test. A room that does
// not exist yet has nothing to keep.
func TestRoomsKnowOnlyWhomTheyMay(t *testing.T) {
	for room, forbidden := range map[string][]string{
		"jwks":            {echoV, module + "/issuer", module + "/middleware", "database/sql"},
		"jwks/pop":        {echoV, module + "/issuer", module + "/middleware", "database/sql"},
		"issuer":          append([]string{module + "/middleware", module + "/issuer/sqlstore", module + "/issuer/sqlite"}, drivers...),
		"issuer/sqlstore": append([]string{module + "/middleware"}, drivers...),
		"issuer/sqlite":   {module + "/middleware"},
		"middleware":      append([]string{module + "/issuer", "database/sql"}, drivers...),
	} {
		if _, err := os.Stat(filepath.Join("..", room)); err != nil {
			continue
		}
		for _, imported := range goList(t, "-deps", "-f", "{{.ImportPath}}", "../"+room) {
			if i := slices.IndexFunc(forbidden, func(path string) bool { return within(imported, path) }); i >= 0 {
				t.Errorf("%s depends on %s: it must not know %s", room, imported, forbidden[i])
			}
		}
	}
}

// jwx v2 gets no more fixes; moving off it must be a change of one room.
func TestOnlyJWKSImportsJWX(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../...") {
		imports := strings.Fields(line)
		if imports[0] == module+"/jwks/jose" {
			continue
		}
		for _, imported := range imports[1:] {
			if within(imported, jwxV) {
				t.Errorf("%s imports %s", imports[0], imported)
			}
		}
	}
}

// An adapter for Echo v5 must be one more small file.
func TestEchoIsNamedInEchoGoAlone(t *testing.T) {
	for _, room := range []string{"middleware", "issuer"} {
		files, err := filepath.Glob(filepath.Join("..", room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "echo.go" {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range parsed.Imports {
				if path, err := strconv.Unquote(spec.Path.Value); err != nil || within(path, echoV) {
					t.Errorf("%s imports %s", file, spec.Path.Value)
				}
			}
		}
	}
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
	if len(lines) == 0 || lines[0] == "" {
		t.Fatalf("go list %s lists nothing", strings.Join(args, " "))
	}
	return lines
}
