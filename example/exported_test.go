package main

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDocumented wants a comment on every exported name of the library: types,
// their fields and methods, funcs, consts and vars.
func TestDocumented(t *testing.T) {
	for name, documented := range exported(t) {
		if !documented {
			t.Errorf("%s has no comment", name)
		}
	}
}

// exported gives the exported names of the library, such as jwks.Policy.Retain,
// and whether each has a comment.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
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

func note(names map[string]bool, room string, decl ast.Decl) {
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
			names[room+"."+name] = decl.Doc != nil
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() {
						names[room+"."+name.Name] = spec.Doc != nil || spec.Comment != nil || decl.Doc != nil
					}
				}
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					names[room+"."+spec.Name.Name] = spec.Doc != nil || decl.Doc != nil
					noteFields(names, room+"."+spec.Name.Name, spec.Type)
				}
			}
		}
	}
}

func noteFields(names map[string]bool, of string, typ ast.Expr) {
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
				names[of+"."+name.Name] = documented
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

// TestZeroValues calls every method of the zero value of every exported type of
// the library, and of a nil pointer to it where its methods have pointer
// receivers. Whatever they answer, none may panic, hang or exit.
func TestZeroValues(t *testing.T) {
	var types []string
	for name := range exported(t) {
		if parts := strings.Split(name, "."); len(parts) == 2 && isType(t, name) {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	if listed := slices.Sorted(maps.Keys(zeroValues)); !slices.Equal(types, listed) {
		for _, name := range types {
			if !slices.Contains(listed, name) {
				t.Errorf("zeroValues lacks %s", name)
			}
		}
		for _, name := range listed {
			if !slices.Contains(types, name) {
				t.Errorf("zeroValues has %s, which is no exported type", name)
			}
		}
	}
	methods := 0
	for name, pointer := range zeroValues {
		of := reflect.ValueOf(pointer)
		if of.Elem().Kind() == reflect.Interface {
			continue // its zero value is nil
		}
		for i := range of.NumMethod() {
			methods++
			method := of.Type().Method(i).Name
			callZero(t, name+"."+method+" of the zero value", reflect.New(of.Type().Elem()).Method(i))
			if _, byValue := of.Type().Elem().MethodByName(method); !byValue {
				callZero(t, name+"."+method+" of nil", reflect.Zero(of.Type()).Method(i))
			}
		}
	}
	if methods < 50 {
		t.Errorf("%d methods were called: the test has lost its subject", methods)
	}
}

func isType(t *testing.T, name string) bool {
	t.Helper()
	room, of, _ := strings.Cut(name, ".")
	for _, p := range packages(t) {
		if p.path != module+"/"+room {
			continue
		}
		for _, file := range p.files {
			for _, decl := range parse(t, file, 0).Decls {
				if decl, ok := decl.(*ast.GenDecl); ok && decl.Tok == token.TYPE {
					for _, spec := range decl.Specs {
						if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.Name == of {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// callZero calls a method with harmless arguments and reports a panic or a hang.
func callZero(t *testing.T, what string, method reflect.Value) {
	t.Helper()
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		results := method.Call(arguments(t, method.Type()))
		for _, result := range results {
			serve(result) // a handler, or a middleware's, is called too
		}
	}()
	select {
	case panicked := <-ended:
		if panicked != nil {
			t.Errorf("%s: panic: %v", what, panicked)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s: no answer in 5 s", what)
	}
}

func serve(result reflect.Value) {
	if !result.IsValid() || !result.CanInterface() {
		return
	}
	if handler, ok := result.Interface().(http.Handler); ok && !isNil(result) {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	}
	return false
}

var (
	contextType = reflect.TypeFor[context.Context]()
	writerType  = reflect.TypeFor[http.ResponseWriter]()
	requestType = reflect.TypeFor[*http.Request]()
	handlerType = reflect.TypeFor[http.Handler]()
)

func arguments(t *testing.T, of reflect.Type) []reflect.Value {
	var in []reflect.Value
	for i := range of.NumIn() {
		if of.IsVariadic() && i == of.NumIn()-1 {
			break
		}
		switch typ := of.In(i); typ {
		case contextType:
			in = append(in, reflect.ValueOf(t.Context()))
		case writerType:
			in = append(in, reflect.ValueOf(httptest.NewRecorder()))
		case requestType:
			in = append(in, reflect.ValueOf(httptest.NewRequest(http.MethodGet, "/", nil)))
		case handlerType:
			in = append(in, reflect.ValueOf(http.NotFoundHandler()))
		default:
			if typ.Kind() == reflect.Pointer && typ.Elem().Kind() == reflect.Struct && strings.HasPrefix(typ.Elem().PkgPath(), echoPkg) {
				in = append(in, reflect.ValueOf(newEcho()))
				continue
			}
			in = append(in, reflect.Zero(typ))
		}
	}
	return in
}
