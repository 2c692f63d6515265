package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

// docs is the folder of the pages for operators.
const docs = "../.github/docs"

// pages is the text of every Markdown file of the repository, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found, err := readPages()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var readPages = sync.OnceValues(func() (map[string]string, error) {
	found := map[string]string{}
	for _, pattern := range []string{"../*.md", "../.github/*.md", docs + "/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			found[path] = string(content)
		}
	}
	return found, nil
})

// fenced is a block of code of a page. info is what stands behind its fence.
type fenced struct{ info, text string }

// fencedBlock is a block of code with its indentation.
var fencedBlock = regexp.MustCompile("(?ms)^( *)```([^\n]*)\n(.*?)^ *```$") //nolint:gocritic // with (?m) each ^ is the start of a line

func fencedBlocks(page string) (blocks []fenced) {
	for _, match := range fencedBlock.FindAllStringSubmatch(page, -1) {
		text := ""
		for line := range strings.Lines(match[3]) {
			text += strings.TrimPrefix(line, match[1])
		}
		blocks = append(blocks, fenced{match[2], text})
	}
	return blocks
}

// linkTarget is the target of a Markdown link.
var linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestDocsLinks follows every link within the repository. Every page is linked
// from the README and from SECURITY.md.
func TestDocsLinks(t *testing.T) {
	linked := map[string]map[string]bool{}
	for path, text := range pages(t) {
		linked[path] = map[string]bool{}
		for _, match := range linkTarget.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(match[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			target = filepath.Join(filepath.Dir(path), target)
			linked[path][target] = true
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links %s: %v", path, match[1], err)
			}
		}
	}
	all, err := filepath.Glob(docs + "/*.md")
	if err != nil || len(all) < 10 {
		t.Fatalf("%d pages, %v", len(all), err)
	}
	for _, page := range all {
		for _, from := range []string{"../README.md", "../.github/SECURITY.md"} {
			if !linked[from][page] {
				t.Errorf("%s does not link %s", from, page)
			}
		}
	}
}

// faultTest is a test that a line of faults.md names, with its folder.
var faultTest = regexp.MustCompile("`(Test\\w+)` \\(([\\w/.]+)\\)")

// TestDocsFaults finds the test that each line of the table of faults names.
func TestDocsFaults(t *testing.T) {
	content, err := os.ReadFile(docs + "/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{} // "room TestName"
	walk(t, func(path string, file *ast.File) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[filepath.ToSlash(filepath.Dir(path))+" "+f.Name.Name] = true
			}
		}
	})
	lines := 0
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| fault") {
			continue
		}
		lines++
		named := faultTest.FindAllStringSubmatch(line, -1)
		if len(named) == 0 {
			t.Errorf("no test is named: %s", line)
		}
		for _, n := range named {
			if !tests[n[2]+" "+n[1]] {
				t.Errorf("there is no %s in %s: %s", n[1], n[2], line)
			}
		}
	}
	if lines < 20 {
		t.Errorf("the table has %d lines", lines)
	}
}

// walk parses every Go file of the module, by its path from the root.
func walk(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "bench"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err == nil {
			visit(strings.TrimPrefix(path, "../"), file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	inlineCode  = regexp.MustCompile("`[^`\n]+`")
	fencedCode  = regexp.MustCompile("(?ms)^ *```.*?^ *```") //nolint:gocritic // with (?m) each ^ is the start of a line
	settingName = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$|^(ADDR|ISSUER|AUDIENCE|CLIENTS)$`)
	fieldName   = regexp.MustCompile(`\b(Config|Policy|RemoteConfig|EchoOptions)\.([A-Z]\w*)`)
	reasonLike  = regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)
	wordsOfCode = regexp.MustCompile(`[\w.]+`)
)

// TestDocsNames looks up what the pages name: settings of the examples, fields of
// configurations, and reasons of events. Every setting is in settings.md.
func TestDocsNames(t *testing.T) {
	settings, fields := map[string]bool{}, map[string]bool{}
	walk(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				ours := strings.HasPrefix(path, "example/") && !strings.HasPrefix(path, "example/echo5/") && !strings.HasSuffix(path, "_test.go")
				if text, err := strconv.Unquote(n.Value); err == nil && ours && settingName.MatchString(text) {
					settings[text] = true
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && !strings.HasPrefix(path, "example/") {
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							fields[n.Name.Name+"."+name.Name] = true
						}
					}
				}
			}
			return true
		})
	})
	for _, prefix := range []string{"CLIENT", "CLIENT2"} { // seed puts these names together
		settings[prefix+"_ID"], settings[prefix+"_SECRET"] = true, true
	}
	var reasons []string
	for _, r := range event.Reasons() {
		reasons = append(reasons, string(r))
	}

	all := pages(t)
	for path, text := range all {
		if strings.HasPrefix(path, "../CHANGELOG") {
			continue
		}
		for _, code := range inlineCode.FindAllString(fencedCode.ReplaceAllString(text, ""), -1) {
			for _, word := range wordsOfCode.FindAllString(code, -1) {
				if settingName.MatchString(word) && !settings[word] && word != "POSTGRES_URL" { // which the tests read
					t.Errorf("%s names the setting %s, which no example reads", path, word)
				}
			}
			if word := strings.Trim(code, "`"); path == docs+"/faults.md" && reasonLike.MatchString(word) && !slices.Contains(reasons, word) {
				t.Errorf("%s names %s, which is no reason of an event", path, word)
			}
			for _, name := range fieldName.FindAllString(code, -1) {
				if !fields[name] {
					t.Errorf("%s names the field %s, which there is not", path, name)
				}
			}
		}
	}
	for name := range settings {
		if !strings.Contains(all[docs+"/settings.md"], "`"+name+"`") {
			t.Errorf("settings.md does not name the setting %s", name)
		}
	}
}
