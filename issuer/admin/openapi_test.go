package admin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/admin"
)

// document is the OpenAPI document.
type document struct{ root map[string]any }

var openAPI = func() *document {
	root, err := readNode(string(admin.OpenAPI()))
	if err != nil {
		panic(err)
	}
	return &document{root.(map[string]any)}
}()

// resolve returns what a reference names.
func (d *document) resolve(ref string) node {
	path, local := strings.CutPrefix(ref, "#/")
	var at node = d.root
	for name := range strings.SplitSeq(path, "/") {
		object, _ := at.(map[string]any)
		if at = object[name]; at == nil || !local {
			panic("nothing is at the reference " + ref)
		}
	}
	return at
}

// at returns the object that a path of names leads to, through references.
func (d *document) at(from node, names ...string) map[string]any {
	object, _ := from.(map[string]any)
	for _, name := range names {
		object, _ = object[name].(map[string]any)
		if ref, ok := object["$ref"].(string); ok && name != "schema" {
			object, _ = d.resolve(ref).(map[string]any)
		}
	}
	return object
}

var methods = []string{"get", "put", "post", "delete"}

// operations calls visit with each operation, the names of its path and method first.
func (d *document) operations(visit func(path, method string, item, operation map[string]any)) {
	for path := range d.at(d.root, "paths") {
		item := d.at(d.root, "paths", path)
		for _, method := range methods {
			if operation := d.at(item, method); operation != nil {
				visit(path, strings.ToUpper(method), item, operation)
			}
		}
	}
}

// parameters returns the parameters of an operation, those of its path among them.
func (d *document) parameters(item, operation map[string]any) (list []map[string]any) {
	for _, of := range []map[string]any{item, operation} {
		references, _ := of["parameters"].([]any)
		for _, reference := range references {
			list = append(list, d.resolve(reference.(map[string]any)["$ref"].(string)).(map[string]any))
		}
	}
	return list
}

// fields are the members that an object of OpenAPI 3.1 may have here, required ones
// with a star.
var fields = map[string]string{
	"document":  "*openapi *info *servers *security *tags *paths *components",
	"info":      "*title *version summary description",
	"path":      "parameters get put post delete",
	"operation": "*operationId *summary *tags *responses description parameters requestBody",
	"parameter": "*name *in *description *schema required allowEmptyValue example",
	"body":      "*required *content description",
	"response":  "*description *content headers",
	"media":     "*schema examples",
}

func checkFields(t *testing.T, kind, where string, object map[string]any) {
	t.Helper()
	known := strings.Fields(fields[kind])
	for name := range object {
		if !slices.Contains(known, name) && !slices.Contains(known, "*"+name) {
			t.Errorf("%s: a %s has no member %q", where, kind, name)
		}
	}
	for _, name := range known {
		if required, ok := strings.CutPrefix(name, "*"); ok && object[required] == nil {
			t.Errorf("%s: a %s needs the member %q", where, kind, required)
		}
	}
}

// checkContent checks the schema of a body and its examples.
func checkContent(t *testing.T, where string, of map[string]any) {
	t.Helper()
	content := openAPI.at(of, "content")
	if len(content) != 1 || content["application/json"] == nil {
		t.Fatalf("%s: content %v", where, content)
	}
	media := openAPI.at(content, "application/json")
	checkFields(t, "media", where, media)
	_ = openAPI.check(media["schema"], map[string]any{}) // panics for an unknown keyword
	for name := range openAPI.at(media, "examples") {
		example := openAPI.at(media, "examples", name)
		if err := openAPI.check(media["schema"], example["value"]); err != nil {
			t.Errorf("%s: the example %s: %v", where, name, err)
		}
	}
}

func TestOpenAPIDocument(t *testing.T) {
	d := openAPI
	checkFields(t, "document", "/", d.root)
	checkFields(t, "info", "info", d.at(d.root, "info"))
	if d.root["openapi"] != "3.1.0" {
		t.Errorf("openapi %v", d.root["openapi"])
	}
	ids := map[string]bool{}
	placeholder := regexp.MustCompile(`\{(\w+)\}`)
	d.operations(func(path, method string, item, operation map[string]any) {
		where := method + " " + path
		checkFields(t, "path", where, item)
		checkFields(t, "operation", where, operation)
		id, _ := operation["operationId"].(string)
		if ids[id] {
			t.Errorf("%s: the operationId %s is there twice", where, id)
		}
		ids[id] = true
		var inPath []string
		for _, p := range d.parameters(item, operation) {
			checkFields(t, "parameter", where, p)
			if err := d.check(p["schema"], p["example"]); err != nil {
				t.Errorf("%s: the example of %s: %v", where, p["name"], err)
			}
			if p["in"] == "path" {
				inPath = append(inPath, fmt.Sprint(p["name"]))
			}
		}
		var named []string
		for _, m := range placeholder.FindAllStringSubmatch(path, -1) {
			named = append(named, m[1])
		}
		if !slices.Equal(inPath, named) {
			t.Errorf("%s has the parameters %q", where, inPath)
		}
		if operation["requestBody"] != nil {
			body := d.at(operation, "requestBody")
			checkFields(t, "body", where, body)
			checkContent(t, where, body)
		}
		for status := range d.at(operation, "responses") {
			response := d.at(operation, "responses", status)
			checkFields(t, "response", where+" "+status, response)
			checkContent(t, where+" "+status, response)
		}
	})
	for name := range d.at(d.root, "components", "schemas") {
		_ = d.check(d.at(d.root, "components", "schemas", name), "")
	}

	// Every reference leads somewhere, and every component is referred to.
	text := string(admin.OpenAPI())
	for _, m := range regexp.MustCompile(`"\$ref": *"([^"]*)"`).FindAllStringSubmatch(text, -1) {
		d.resolve(m[1])
	}
	for kind := range d.at(d.root, "components") {
		for name := range d.at(d.root, "components", kind) {
			used := strings.Contains(text, `"#/components/`+kind+"/"+name+`"`)
			if kind == "securitySchemes" {
				used = slices.ContainsFunc(d.root["security"].([]any), func(one any) bool { return one.(map[string]any)[name] != nil })
			}
			if !used {
				t.Errorf("nothing refers to the component %s/%s", kind, name)
			}
		}
	}
	for _, one := range d.root["security"].([]any) {
		for name := range one.(map[string]any) {
			if d.at(d.root, "components", "securitySchemes", name) == nil {
				t.Errorf("security names %q", name)
			}
		}
	}
}

// The API serves the document, in Echo and without.
func TestOpenAPIIsServed(t *testing.T) {
	o := newOffice(t)
	for _, path := range []string{"/console/openapi.json", "/clients-of/us/openapi.json"} {
		got, err := json.Marshal(o.do("GET", path, "", 200))
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		if err := json.Unmarshal(admin.OpenAPI(), &want); err != nil {
			t.Fatal(err)
		}
		if wanted, err := json.Marshal(want); err != nil || string(got) != string(wanted) {
			t.Errorf("%s: %.200s, %v", path, got, err)
		}
		o.do("GET", path+"?x=1", "", 400)
		o.do("POST", path, "", 405)
	}
	if len(o.events) > 0 {
		t.Errorf("events: %+v", o.events)
	}
	changed := admin.OpenAPI()
	clear(changed)
	if !json.Valid(admin.OpenAPI()) {
		t.Error("a caller can change the document")
	}
}

// The examples of requests do what they say.
func TestOpenAPIExamplesWork(t *testing.T) {
	d := openAPI
	o := newOffice(t)
	made := o.do("POST", "/console/clients", `{"client_id":"example"}`, 201)
	secrets, _ := o.do("GET", "/console/clients/example", "", 200)["secrets"].([]any)
	secret, _ := secrets[0].(map[string]any)["secret_id"].(string)
	tried := 0
	d.operations(func(path, method string, _, operation map[string]any) {
		examples := d.at(operation, "requestBody", "content", "application/json", "examples")
		if method == "DELETE" || path == "/clients/revoke" {
			return // tried elsewhere
		}
		for _, name := range slices.Sorted(maps.Keys(examples)) {
			body, err := json.Marshal(d.at(examples, name)["value"])
			if err != nil {
				t.Fatal(err)
			}
			if method == "PUT" {
				body = []byte(strings.Replace(string(body), `"client_id":"reports",`, "", 1))
			}
			status := 200
			if d.at(operation, "responses", "201") != nil {
				status = 201
			}
			o.do(method, "/console"+strings.NewReplacer("{id}", "example", "{secret}", secret).Replace(path), string(body), status)
			tried++
			if method == "POST" && strings.HasSuffix(path, "/secrets") { // the others may have ended
				rotated, _ := o.do("POST", "/console/clients/example/secrets", "", 201)["secret_id"].(string)
				secret = rotated
			}
		}
	})
	if tried < 8 || made["client_secret"] == nil {
		t.Errorf("%d examples were tried", tried)
	}
}
