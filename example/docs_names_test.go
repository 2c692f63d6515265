package main

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

var (
	inlineCode  = regexp.MustCompile("`[^`\n]+`")
	fencedCode  = regexp.MustCompile("(?ms)^ *```.*?^ *```") //nolint:gocritic // with (?m) each ^ is the start of a line
	settingName = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$|^(ADDR|ISSUER|AUDIENCE|CLIENTS)$`)
	fieldName   = regexp.MustCompile(`\b(Config|Policy|RemoteConfig|EchoOptions|Introspection|DPoP|ClientCertificates|Resource|Tenants|ForwardConfig|Limits?)\.([A-Z]\w*)`)
	wordsOfCode = regexp.MustCompile(`[\w.]+`)
)

// codeWords calls visit with the words of each piece of inline code of the pages.
func codeWords(t *testing.T, visit func(path, word string)) {
	t.Helper()
	for path, text := range pages(t) {
		for _, code := range inlineCode.FindAllString(fencedCode.ReplaceAllString(text, ""), -1) {
			for _, word := range wordsOfCode.FindAllString(code, -1) {
				visit(path, word)
			}
		}
	}
}

// TestDocsSettings finds every setting that the pages name in an example, and every
// setting of the examples in settings.md.
func TestDocsSettings(t *testing.T) {
	t.Parallel()
	settings := map[string]bool{}
	for _, prefix := range []string{"CLIENT", "CLIENT2"} { // seed puts these names together
		settings[prefix+"_ID"], settings[prefix+"_SECRET"] = true, true
	}
	walk(t, func(path string, file *ast.File) {
		if !strings.HasPrefix(path, "example/") || strings.HasPrefix(path, "example/echo5/") || strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil && settingName.MatchString(text) {
					settings[text] = true
				}
			}
			return true
		})
	})
	elsewhere := []string{
		"POSTGRES_URL",   // which the tests read
		"SECRETS_SYSTEM", // Hydra's
	}
	codeWords(t, func(path, word string) {
		if settingName.MatchString(word) && !settings[word] && !slices.Contains(elsewhere, word) {
			t.Errorf("%s names the setting %s, which no example reads", path, word)
		}
	})
	for name := range settings {
		if !strings.Contains(pages(t)[docs+"/settings.md"], "`"+name+"`") {
			t.Errorf("settings.md does not name the setting %s", name)
		}
	}
}

// TestDocsFields finds every field of a configuration that the pages name, and wants
// every field in configuration.md, below the heading of its type.
func TestDocsFields(t *testing.T) {
	t.Parallel()
	fields := map[string][]string{} // by "room.Type"
	walk(t, func(path string, file *ast.File) {
		if strings.HasPrefix(path, "example/") || strings.Contains(path, "internal/") || strings.HasSuffix(path, "_test.go") {
			return
		}
		for name, list := range configurations(file) {
			fields[file.Name.Name+"."+name] = list
		}
	})
	if len(fields) < 8 {
		t.Fatalf("there are %d configurations", len(fields))
	}
	codeWords(t, func(path, word string) {
		for _, match := range fieldName.FindAllStringSubmatch(word, -1) {
			known := false
			for name, list := range fields {
				known = known || strings.HasSuffix(name, "."+match[1]) && slices.Contains(list, match[2])
			}
			if !known {
				t.Errorf("%s names the field %s, which there is not", path, match[0])
			}
		}
	})
	told := map[string][]string{}
	for section := range strings.SplitSeq(pages(t)[docs+"/configuration.md"], "\n## ") {
		name, text, _ := strings.Cut(section, "\n")
		for _, row := range rows(text) {
			for _, code := range inlineCode.FindAllString(row[0], -1) {
				told[name] = append(told[name], strings.Trim(code, "`"))
			}
		}
	}
	for name := range fields {
		if got, want := slices.Sorted(slices.Values(told[name])), slices.Sorted(slices.Values(fields[name])); !slices.Equal(got, want) {
			t.Errorf("configuration.md names of %s %v, and it has %v", name, got, want)
		}
	}
	for name := range told {
		if fields[name] == nil {
			t.Errorf("configuration.md names %s, which there is not", name)
		}
	}
}

// configurations returns the exported fields of the structs of a file that configure.
func configurations(file *ast.File) map[string][]string {
	found := map[string][]string{}
	for _, decl := range file.Decls {
		types, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range types.Specs {
			name, ok := spec.(*ast.TypeSpec)
			if !ok || !slices.Contains([]string{"Config", "Policy", "RemoteConfig", "EchoOptions", "Introspection", "DPoP", "ClientCertificates", "Resource", "Tenants", "ForwardConfig", "Internal", "Limits", "Limit"}, name.Name.Name) {
				continue
			}
			fields, ok := name.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range fields.Fields.List {
				for _, field := range f.Names {
					if field.IsExported() {
						found[name.Name.Name] = append(found[name.Name.Name], field.Name)
					}
				}
			}
		}
	}
	return found
}

// TestDocsReasons wants exactly the Reasons and the Ops of events in the tables of
// troubleshooting.md: for each Reason what a caller sees, the cause and the fix.
func TestDocsReasons(t *testing.T) {
	t.Parallel()
	reasons, ops := map[string]int{}, map[string]int{}
	for _, r := range event.Reasons() {
		reasons[string(r)] = 0
	}
	walk(t, func(path string, file *ast.File) {
		if path == "jwks/event/event.go" {
			for _, op := range constants(file, "Op") {
				ops[op] = 0
			}
		}
	})
	if len(ops) < 15 {
		t.Fatalf("there are %d operations", len(ops))
	}
	guide, list, ok := strings.Cut(pages(t)[docs+"/troubleshooting.md"], "\n## Operations\n")
	if !ok {
		t.Fatal("troubleshooting.md has no section on operations")
	}
	for _, row := range rows(guide) {
		if len(row) != 4 || slices.Contains(row, "") {
			t.Errorf("a row lacks something: %q", row)
		}
		count(t, reasons, row[0])
	}
	for _, row := range rows(list) {
		count(t, ops, row[0])
	}
	for _, all := range []map[string]int{reasons, ops} {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			want := 1
			if name == string(event.MalformedRequest) { // by a guard, and by the issuer
				want = 2
			}
			if all[name] != want {
				t.Errorf("troubleshooting.md has %d rows for %s, want %d", all[name], name, want)
			}
		}
	}

	// Elsewhere a word that looks like a Reason is one.
	reasonLike := regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)
	others := []string{"secret_id", "client_id", "token_id"} // fields of events
	codeWords(t, func(path, word string) {
		if _, known := reasons[word]; !known && (path == docs+"/faults.md" || path == docs+"/incident.md") && reasonLike.MatchString(word) && !slices.Contains(others, word) {
			t.Errorf("%s names %s, which is no reason of an event", path, word)
		}
	})
}

// count counts the names in a cell, and fails for one that is unknown.
func count(t *testing.T, known map[string]int, cell string) {
	t.Helper()
	for _, code := range inlineCode.FindAllString(cell, -1) {
		name := strings.Trim(code, "`")
		if _, ok := known[name]; !ok {
			t.Errorf("troubleshooting.md has a row for %s, which there is not", name)
		}
		known[name]++
	}
}

// constants returns the values of the constants of a type.
func constants(file *ast.File, of string) (values []string) {
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			s, ok := spec.(*ast.ValueSpec)
			if !ok || len(s.Values) != 1 {
				continue
			}
			typ, isNamed := s.Type.(*ast.Ident)
			value, isLiteral := s.Values[0].(*ast.BasicLit)
			if !isNamed || !isLiteral || typ.Name != of {
				continue
			}
			if text, err := strconv.Unquote(value.Value); err == nil {
				values = append(values, text)
			}
		}
	}
	return values
}
