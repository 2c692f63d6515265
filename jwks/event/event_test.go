package event_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/echo-m2m/m2m/jwks/event"
)

// Reasons promises to be complete, so it is held against the source.
func TestReasonsIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []event.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Reason" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, event.Reason(value))
		}
		return true
	})
	if listed := event.Reasons(); len(declared) == 0 || !slices.Equal(declared, listed) {
		t.Errorf("Reasons() = %q, declared are %q", listed, declared)
	}
	if sorted := slices.Sorted(slices.Values(declared)); len(slices.Compact(sorted)) != len(declared) {
		t.Errorf("a Reason is declared twice: %q", sorted)
	}
}

func TestText(t *testing.T) {
	if got := event.Text(nil); got != "" {
		t.Errorf("the text of nil is %q", got)
	}
	if got := event.Text(errors.New("the store is away")); got != "the store is away" {
		t.Errorf("the text is %q", got)
	}
}
