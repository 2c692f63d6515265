package issuertest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exported returns the exported names of rooms: types, funcs, methods, fields, constants.
func exported(t *testing.T, rooms ...string) (names []string) {
	t.Helper()
	for _, room := range rooms {
		files, err := filepath.Glob("../../" + room + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(room, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					names = append(names, n.Name.Name)
				case *ast.TypeSpec:
					names = append(names, n.Name.Name)
				case *ast.ValueSpec:
					for _, name := range n.Names {
						names = append(names, name.Name)
					}
				case *ast.Field:
					for _, name := range n.Names {
						names = append(names, name.Name)
					}
				}
				return true
			})
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return !ast.IsExported(name) })
}

// membersOf returns the exported methods of a type, and its fields that are switches.
func membersOf(of reflect.Type) (names []string) {
	for method := range of.Methods() {
		names = append(names, method.Name)
	}
	for f := range of.Elem().Fields() {
		if f.Type == reflect.TypeFor[Switch]() {
			names = append(names, f.Name)
		}
	}
	return names
}

// The page on tests names nothing that does not exist, and names every switch and what
// switches do. Its blocks of code are run by the test of all pages.
func TestPage(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../.github/docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(content), "")
	known := exported(t, "issuer/issuertest", "issuer", "middleware", "jwks/event")
	ofIssuer := membersOf(reflect.TypeFor[*Issuer]())
	ofKit := exported(t, "issuer/issuertest")
	var named []string
	for _, code := range regexp.MustCompile("`[^`]+`").FindAllString(text, -1) {
		for _, word := range regexp.MustCompile(`\w+\.?[A-Z]\w*|\b[A-Z]\w*`).FindAllString(code, -1) {
			of, name, ok := strings.Cut(word, ".")
			if !ok {
				name = word
			}
			named = append(named, name)
			among := known
			switch {
			case ok && of == "idp":
				among = ofIssuer
			case ok && of == "issuertest":
				among = ofKit
			}
			if !slices.Contains(among, name) {
				t.Errorf("the page names %s, which there is not", word)
			}
		}
		for _, fault := range regexp.MustCompile(`Bad\("([^"]*)"\)`).FindAllStringSubmatch(code, -1) {
			if _, err := faultNamed(fault[1]); err != nil {
				t.Error(err)
			}
		}
	}
	for _, name := range slices.Concat(ofIssuer, membersOf(reflect.TypeFor[*Switch]()), []string{"Scopes", "Audience", "ClientID", "Claim", "Lifetime", "Bad"}) {
		if shown := []string{"Register", "Token", "Client", "URL"}; !slices.Contains(named, name) && !slices.Contains(shown, name) {
			t.Errorf("the page does not name %s", name)
		}
		if !strings.Contains(string(content), name) {
			t.Errorf("the page does not show %s", name)
		}
	}
}
