package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestDocumented wants a comment on every exported name of the library: types,
// their fields and methods, funcs, consts and vars.
func TestDocumented(t *testing.T) {
	t.Parallel()
	for name, e := range exported(t) {
		if !e.documented {
			t.Errorf("%s has no comment", name)
		}
	}
}

type exportedName struct{ documented, isType bool }

// exported returns the exported names of the library, such as jwks.Policy.Retain.
func exported(t *testing.T) map[string]exportedName {
	t.Helper()
	names := map[string]exportedName{}
	for _, p := range packages(t) {
		if within(p.path, module+"/example") || strings.Contains(p.path, "/internal/") {
			continue
		}
		for _, file := range p.files {
			parsed := parse(t, file, parser.ParseComments)
			for _, decl := range parsed.Decls {
				note(names, p.path[len(module)+1:], decl)
			}
		}
	}
	return names
}

func note(names map[string]exportedName, room string, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		if decl.Recv != nil {
			of := receiver(decl.Recv.List[0].Type)
			if !ast.IsExported(of) {
				return
			}
			name = of + "." + name
		}
		if decl.Name.IsExported() {
			names[room+"."+name] = exportedName{documented: decl.Doc != nil}
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() {
						names[room+"."+name.Name] = exportedName{documented: spec.Doc != nil || spec.Comment != nil || decl.Doc != nil}
					}
				}
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					names[room+"."+spec.Name.Name] = exportedName{spec.Doc != nil || decl.Doc != nil, true}
					noteFields(names, room+"."+spec.Name.Name, spec.Type)
				}
			}
		}
	}
}

func noteFields(names map[string]exportedName, of string, typ ast.Expr) {
	var fields *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return
	}
	// Fields without a blank line between them may share the comment of the first.
	documented, end := false, token.NoPos
	for _, field := range fields.List {
		own := field.Doc != nil || field.Comment != nil
		documented = own || documented && field.Pos()-end < 4 // a line end and a tab
		end = field.End()
		for _, name := range field.Names {
			if name.IsExported() {
				names[of+"."+name.Name] = exportedName{documented: documented}
			}
		}
	}
}

func receiver(typ ast.Expr) string {
	switch typ := typ.(type) {
	case *ast.StarExpr:
		return receiver(typ.X)
	case *ast.IndexExpr:
		return receiver(typ.X)
	case *ast.Ident:
		return typ.Name
	}
	return ""
}
