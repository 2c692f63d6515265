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
	"strings"
	"sync"
	"testing"
	"unicode"
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

// fenced is a block of code of a page. info is what follows its fence.
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

// goBlocks returns the Go blocks of a page.
func goBlocks(t *testing.T, page string) (blocks []string) {
	t.Helper()
	for _, b := range fencedBlocks(page) {
		if b.info == "go" {
			blocks = append(blocks, b.text)
		}
	}
	return blocks
}

// linkTarget is the target of a Markdown link.
var linkTarget = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// index is the page that links all others, and is linked from README and SECURITY.md.
const index = docs + "/README.md"

// TestDocsLinks follows every link within the repository, to headings too. The index
// links every page.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	linked := map[string]map[string]bool{}
	all := pages(t)
	for path, text := range all {
		linked[path] = map[string]bool{}
		for _, match := range linkTarget.FindAllStringSubmatch(fencedCode.ReplaceAllString(text, ""), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			if target != "" {
				target = filepath.Join(filepath.Dir(path), target)
			} else {
				target = path
			}
			linked[path][target] = true
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links %s: %v", path, match[1], err)
			}
			if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s links %s, and %s has no such heading", path, match[1], target)
			}
		}
	}
	paths, err := filepath.Glob(docs + "/*.md")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d pages, %v", len(paths), err)
	}
	for _, page := range paths {
		if page != index && !linked[index][page] {
			t.Errorf("%s does not link %s", index, page)
		}
	}
	for _, from := range []string{"../README.md", "../.github/SECURITY.md"} {
		if !linked[from][index] {
			t.Errorf("%s does not link %s", from, index)
		}
	}
}

// heading is a heading of a page.
var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// anchors returns what GitHub makes of the headings of a page: lower case, without
// punctuation, with hyphens for spaces.
func anchors(page string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(fencedCode.ReplaceAllString(page, ""), -1) {
		text := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, match[1])
		all = append(all, text)
	}
	return all
}

var (
	// namedTest is a test that a table names, with its folder.
	namedTest = regexp.MustCompile("`((?:Test|Fuzz)\\w+)` \\(([\\w/.]+)\\)")

	// namedFile is a file that a table names, by its path from the root.
	namedFile = regexp.MustCompile("`([\\w/]+\\.go)`")
)

// TestDocsTables finds the tests and files that each line of the tables of faults.md
// and standards.md names.
func TestDocsTables(t *testing.T) {
	t.Parallel()
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
	for page, least := range map[string]int{"faults.md": 60, "standards.md": 60} {
		lines := 0
		for _, row := range rows(pages(t)[docs+"/"+page]) {
			line := strings.Join(row, " | ")
			lines++
			named := namedTest.FindAllStringSubmatch(row[len(row)-1], -1)
			if len(named) == 0 {
				t.Errorf("%s: no test is named: %s", page, line)
			}
			for _, n := range named {
				if !tests[n[2]+" "+n[1]] {
					t.Errorf("%s: there is no %s in %s: %s", page, n[1], n[2], line)
				}
			}
			if page != "standards.md" {
				continue
			}
			files := namedFile.FindAllStringSubmatch(row[2], -1)
			if len(files) == 0 {
				t.Errorf("%s: no file is named: %s", page, line)
			}
			for _, f := range files {
				if _, err := os.Stat("../" + f[1]); err != nil {
					t.Errorf("%s: %v: %s", page, err, line)
				}
			}
		}
		if lines < least {
			t.Errorf("%s has %d lines", page, lines)
		}
	}
}

// fapi are the clauses of the FAPI 2.0 Security Profile that apply to client credentials.
var fapi = []string{"5.3.2.1", "5.3.3.1", "5.3.4", "5.4.1", "5.4.2", "5.4.3", "6.2"}

// bestPractice are the clauses of RFC 9700 that apply to client credentials.
var bestPractice = []string{"2.2.1", "2.3", "2.4", "2.5", "2.6", "4.9.1", "4.9.2", "4.10.1", "4.10.2", "4.13", "4.15"}

// TestDocsClauses finds a line for each clause that applies. TestDocsTables finds their
// tests.
func TestDocsClauses(t *testing.T) {
	t.Parallel()
	sections := map[string]string{}
	for _, section := range strings.Split(pages(t)[docs+"/standards.md"], "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	for title, want := range map[string][]string{"FAPI 2.0 Security Profile": fapi, "RFC 9700, security best practice": bestPractice} {
		var have []string
		for _, row := range rows(sections[title]) {
			have = append(have, row[0])
		}
		slices.SortStableFunc(have, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) })
		if have = slices.Compact(have); !slices.Equal(have, want) {
			t.Errorf("%s: clauses %q, want %q", title, have, want)
		}
	}
}

// TestDocsTablesAreWhole finds lines of a table that no heading precedes: they are shown as
// text.
func TestDocsTablesAreWhole(t *testing.T) {
	t.Parallel()
	for path, text := range pages(t) {
		lines := strings.Split(fencedCode.ReplaceAllString(text, ""), "\n")
		for n, line := range lines {
			first := strings.HasPrefix(line, "|") && (n == 0 || !strings.HasPrefix(lines[n-1], "|"))
			if first && (n+1 == len(lines) || !strings.HasPrefix(lines[n+1], "|--")) {
				t.Errorf("%s: a line of a table without a heading: %s", path, line)
			}
		}
	}
}

// rows returns the cells of every row of the tables of a page, headings excepted.
func rows(page string) (found [][]string) {
	for line := range strings.Lines(fencedCode.ReplaceAllString(page, "")) {
		switch {
		case strings.HasPrefix(line, "|--"):
			found = found[:len(found)-1] // the row before was the heading
		case strings.HasPrefix(line, "|"):
			text := strings.ReplaceAll(strings.Trim(strings.TrimSpace(line), "|"), `\|`, "\x00")
			cells := strings.Split(text, "|")
			for n := range cells {
				cells[n] = strings.ReplaceAll(strings.TrimSpace(cells[n]), "\x00", "|")
			}
			found = append(found, cells)
		}
	}
	return found
}

// goFiles is every Go file of the repository, parsed, by its path from the root.
// example/bench is left out: what it names is other libraries'.
var goFiles = sync.OnceValues(func() (map[string]*ast.File, error) {
	found, files := map[string]*ast.File{}, token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != ".." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "bench"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		found[filepath.ToSlash(strings.TrimPrefix(path, "../"))] = file
		return err
	})
	return found, err
})

func walk(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	all, err := goFiles()
	if err != nil {
		t.Fatal(err)
	}
	for path, file := range all {
		visit(path, file)
	}
}
