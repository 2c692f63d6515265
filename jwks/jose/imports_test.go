package jose

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// jwk.go alone imports jwx, so that moving to another version edits one file. No
// file imports net/http.
func TestImports(t *testing.T) {
	files := sure(filepath.Glob("*.go"))
	found := false
	for _, file := range files {
		for _, spec := range sure(parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)).Imports {
			path := sure(strconv.Unquote(spec.Path.Value))
			jwx := strings.HasPrefix(path, "github.com/lestrrat-go/")
			switch {
			case jwx && file != "jwk.go" && file != "jwk_test.go", strings.HasPrefix(path, "net/"):
				t.Errorf("%s imports %s", file, path)
			case jwx:
				found = true
			}
		}
	}
	if !found {
		t.Error("nothing imports jwx, so this test checks nothing")
	}
}
