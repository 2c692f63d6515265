package jose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var objects = []struct {
	doc string
	ok  bool
}{
	{`{}`, true},
	{" \t\r\n{ \"a\" : 1 , \"b\" : [ ] } \n", true},
	{`{"a":"b","c":null,"d":true,"e":false,"f":-0.5e+10,"g":{"h":[1,2,{}]}}`, true},
	{`{"":0}`, true},
	{`{"a":"\"\\\/\b\f\n\r\t\u00e9"}`, true},
	{`{"a":"\uD83D\uDE00"}`, true},
	{"{\"a\":\"\x7f\u2028\ufffd\U0010ffff\"}", true},
	{`{"a":{"x":1,"x":2}}`, true}, // only names of the top level must be unique
	{`{"a":0,"A":0}`, true},
	{`{"e\u0301":0,"é":0}`, true}, // names are compared by code point (RFC 7515, section 5.3)
	{`{"a":1E5,"b":0,"c":-0,"d":0.0,"e":10}`, true},
	{`{"a":` + strings.Repeat("9", 1000) + `}`, true},

	{``, false},
	{` `, false},
	{`{`, false},
	{`}`, false},
	{`{}{}`, false},
	{`{},`, false},
	{`{} x`, false},
	{"{}\x00", false},
	{`[]`, false},
	{`[{}]`, false},
	{`"{}"`, false},
	{`null`, false},
	{`1`, false},
	{"\ufeff{}", false},
	{"{}\ufeff", false},
	{"{\u00a0}", false},
	{"{\v}", false},
	{"{\f}", false},
	{`{,}`, false},
	{`{"a"}`, false},
	{`{"a":}`, false},
	{`{"a":1,}`, false},
	{`{"a":1 "b":2}`, false},
	{`{"a" 1}`, false},
	{`{"a"::1}`, false},
	{`{a:1}`, false},
	{`{'a':1}`, false},
	{`{1:1}`, false},
	{`{null:1}`, false},
	{`{"a":1}//`, false},
	{`{"a":/**/1}`, false},
	{`{"a":01}`, false},
	{`{"a":-01}`, false},
	{`{"a":+1}`, false},
	{`{"a":.5}`, false},
	{`{"a":5.}`, false},
	{`{"a":1e}`, false},
	{`{"a":1e+}`, false},
	{`{"a":-}`, false},
	{`{"a":0x10}`, false},
	{`{"a":1_000}`, false},
	{`{"a":NaN}`, false},
	{`{"a":Infinity}`, false},
	{`{"a":-Infinity}`, false},
	{`{"a":nul}`, false},
	{`{"a":nulll}`, false},
	{`{"a":True}`, false},
	{`{"a":[1,]}`, false},
	{`{"a":[,1]}`, false},
	{`{"a":[1 2]}`, false},
	{`{"a":[1}`, false},
	{`{"a":{"b":1]}`, false},
	{`{"a":{"b"}}`, false},
	{`{"a":"b}`, false},
	{`{"a":"\"}`, false},
	{`{"a":"\x41"}`, false},
	{`{"a":"\'"}`, false},
	{`{"a":"\u12"}`, false},
	{`{"a":"\u12G4"}`, false},
	{`{"a":"\u+123"}`, false},
	{`{"a":"\U0041"}`, false},
	{`{"a":"\ud800"}`, false},
	{`{"a":"\ud800\n"}`, false},
	{`{"a":"\ud800\ud800"}`, false},
	{`{"a":"\udfff"}`, false},
	{`{"\udc00":1}`, false},
	{`{"a":{"b":"\ud800"}}`, false},
	{"{\"a\":\"\n\"}", false},
	{"{\"a\":\"\t\"}", false},
	{"{\"a\":\"\x00\"}", false},
	{"{\"a\":\"\xff\"}", false},
	{"{\"a\":\"\xc0\x80\"}", false},
	{"{\"a\":\"\xed\xa0\x80\"}", false},
	{"{\"\xff\":1}", false},
	{`{"a":1,"a":1}`, false},
	{`{"a":1,"b":2,"a":null}`, false},
	{`{"a":1,"\u0061":2}`, false},
	{`{"é":1,"\u00e9":2}`, false},
	{`{"😀":1,"\ud83d\ude00":2}`, false},
	{`{"":1,"":2}`, false},
	{`{"a\/b":1,"a/b":2}`, false},
}

func TestParseObject(t *testing.T) {
	for _, tt := range objects {
		c, err := ParseObject(tt.doc)
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.doc, err)
		}
		if err != nil && (c.doc != "" || c.count != 0 || c.more != nil) {
			t.Errorf("%q: an error and a value", tt.doc)
		}
		if tt.ok && !json.Valid([]byte(tt.doc)) {
			t.Errorf("%q: encoding/json refuses it", tt.doc)
		}
		// Each proper prefix is refused.
		for i := range strings.TrimRight(tt.doc, " \n") {
			if _, err := ParseObject(tt.doc[:i]); tt.ok && err == nil {
				t.Errorf("%q is accepted", tt.doc[:i])
			}
		}
	}
}

func TestParseObjectBounds(t *testing.T) {
	members := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, `"`+strconv.Itoa(i)+`":0`)
		}
		return "{" + strings.Join(names, ",") + "}"
	}
	nested := func(n int, open, inner, end string) string {
		return `{"a":` + strings.Repeat(open, n) + inner + strings.Repeat(end, n) + "}"
	}
	for name, tt := range map[string]struct {
		doc string
		ok  bool
	}{
		"members":           {members(maxMembers), true},
		"too many members":  {members(maxMembers + 1), false},
		"arrays":            {nested(maxDepth, "[", "", "]"), true},
		"too many arrays":   {nested(maxDepth+1, "[", "", "]"), false},
		"objects":           {nested(maxDepth-1, `{"a":`, "1", "}"), true},
		"too many objects":  {nested(maxDepth, `{"a":`, "1", "}"), false},
		"a million arrays":  {nested(1_000_000, "[", "", "]"), false},
		"a million objects": {nested(1_000_000, `{"a":`, "1", "}"), false},
		"only opened":       {`{"a":` + strings.Repeat("[", 1_000_000), false},
	} {
		if _, err := ParseObject(tt.doc); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestObjectHasAndRaw(t *testing.T) {
	c := sure(ParseObject(`{"s":"a","n": null ,"o":{ "x" : [1] },"\u0065":1.50}`))
	for name, want := range map[string]string{"s": `"a"`, "n": "null", "o": `{ "x" : [1] }`, "e": "1.50"} {
		raw, ok := c.Raw(name)
		if string(raw) != want || !ok || !c.Has(name) {
			t.Errorf("%s: %q, %t", name, raw, ok)
		}
		raw[0] = 'X' // a copy
		if raw, _ := c.Raw(name); string(raw) != want {
			t.Errorf("%s changed to %q", name, raw)
		}
	}
	for _, name := range []string{"", "S", "x", `\u0065`, "s\x00"} {
		if raw, ok := c.Raw(name); ok || len(raw) != 0 || c.Has(name) {
			t.Errorf("%q is a member: %q", name, raw)
		}
	}
	var zero Object
	if zero.Has("a") {
		t.Error("the zero value has members")
	}
	var v struct {
		S string
		O struct{ X []int }
	}
	if err := c.Unmarshal(&v); err != nil || v.S != "a" || !slices.Equal(v.O.X, []int{1}) {
		t.Errorf("%+v, %v", v, err)
	}
	if err := c.Unmarshal(&struct{ S int }{}); err == nil {
		t.Error("a string became a number")
	}
}

func TestObjectString(t *testing.T) {
	for _, tt := range []struct {
		raw, want string
		ok        bool
	}{
		{`"a"`, "a", true},
		{`""`, "", true},
		{`"\u0061\n\/\ud83d\ude00"`, "a\n/😀", true},
		{`"é\u0000"`, "é\x00", true},
		{`null`, "", false},
		{`1`, "", false},
		{`true`, "", false},
		{`["a"]`, "", false},
		{`{"a":"a"}`, "", false},
	} {
		c := sure(ParseObject(`{"x":` + tt.raw + `}`))
		got, there, err := c.String("x")
		if got != tt.want || !there || (err == nil) != tt.ok {
			t.Errorf("%s: %q, %t, %v", tt.raw, got, there, err)
		}
		if got, there, err := c.String("y"); got != "" || there || err != nil {
			t.Errorf("missing: %q, %t, %v", got, there, err)
		}
	}
}

func TestObjectStrings(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want []string
		ok   bool
	}{
		{`"a"`, []string{"a"}, true},
		{`""`, []string{""}, true},
		{`["a"]`, []string{"a"}, true},
		{`[ "a" , "b]" ,"\"c,", "\u0064" ]`, []string{"a", "b]", `"c,`, "d"}, true},
		{`[]`, nil, true},
		{`[ ]`, nil, true},
		{`["",""]`, []string{"", ""}, true},
		{`[1]`, nil, false},
		{`["a",1]`, nil, false},
		{`["a",null]`, nil, false},
		{`["a",["b"]]`, nil, false},
		{`[["a"]]`, nil, false},
		{`[{"a":"b"}]`, nil, false},
		{`{"a":"b"}`, nil, false},
		{`1`, nil, false},
		{`null`, nil, false},
		{`true`, nil, false},
	} {
		c := sure(ParseObject(`{"aud": ` + tt.raw + ` }`))
		got, there, err := c.Strings("aud")
		if !slices.Equal(got, tt.want) || !there || (err == nil) != tt.ok {
			t.Errorf("%s: %q, %t, %v", tt.raw, got, there, err)
		}
		if got, there, err := c.Strings("y"); got != nil || there || err != nil {
			t.Errorf("missing: %q, %t, %v", got, there, err)
		}
	}
}

func TestObjectTime(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want int64
		ok   bool
	}{
		{`1700000000`, 1700000000, true},
		{`1700000000.999`, 1700000000, true},
		{`1700000000.0`, 1700000000, true},
		{`0`, 0, true},
		{`0.5`, 0, true},
		{`1`, 1, true},
		{`999999999999`, 999999999999, true},
		{`1000000000000`, 0, false}, // milliseconds, most likely
		{`9223372036854775808`, 0, false},
		{`18446744073709551616`, 0, false},
		{strings.Repeat("9", 400), 0, false},
		{`-1`, 0, false},
		{`-0`, 0, true},
		{`-0.0e9`, 0, true},
		{`-0.5`, 0, false},
		{`-1700000000.5`, 0, false},
		{`1e30`, 0, false},
		{`1E9`, 1000000000, true},
		{`1e0`, 1, true},
		{`1.7e9`, 1700000000, true},
		{`1.68E+09`, 1680000000, true},
		{`16800000000e-1`, 1680000000, true},
		{`16800000009e-1`, 1680000000, true},
		{`1700000000.1e1`, 17000000001, true},
		{`0.0000000017e18`, 1700000000, true},
		{`1.` + strings.Repeat("0", 400) + `e9`, 1000000000, true},
		{`0.` + strings.Repeat("0", 400) + `1e410`, 1000000000, true},
		{`17` + strings.Repeat("0", 400) + `e-392`, 1700000000, true},
		{`1e-1`, 0, true},
		{`1e-99999999999999999999`, 0, true},
		{`0e99999999999999999999`, 0, true},
		{`999999999999.9e0`, 999999999999, true},
		{`9.99999999999e11`, 999999999999, true},
		{`1e12`, 0, false},
		{`1e99999999999999999999`, 0, false},
		{`-1e-9`, 0, false},
		{`-1E9`, 0, false},
		{`"1700000000"`, 0, false},
		{`""`, 0, false},
		{`true`, 0, false},
		{`false`, 0, false},
		{`null`, 0, false},
		{`[1700000000]`, 0, false},
		{`{"a":1}`, 0, false},
	} {
		c := sure(ParseObject(`{"exp": ` + tt.raw + ` }`))
		got, there, err := c.Time("exp")
		if !there || (err == nil) != tt.ok {
			t.Errorf("%s: %t, %v", tt.raw, there, err)
		}
		if tt.ok && !got.Equal(time.Unix(tt.want, 0)) || !tt.ok && !got.IsZero() {
			t.Errorf("%s: %v", tt.raw, got)
		}
		if got, there, err := c.Time("y"); !got.IsZero() || there || err != nil {
			t.Errorf("missing: %v, %t, %v", got, there, err)
		}
	}
}

// An object with many members is read like a small one.
func TestObjectOfMany(t *testing.T) {
	few := len(Object{}.few)
	for _, n := range []int{few - 1, few, few + 1, 2*few + 1, few + indexed - 1, few + indexed, few + indexed + 1, 100, maxMembers} {
		members := make([]string, n)
		for i := range members {
			members[i] = fmt.Sprintf(`"m%d":"v%d"`, i, i)
		}
		c := sure(ParseObject("{" + strings.Join(members, ",") + "}"))
		for i := range members {
			if v, ok, err := c.String(fmt.Sprintf("m%d", i)); v != fmt.Sprintf("v%d", i) || !ok || err != nil {
				t.Errorf("member %d of %d: %q, %v, %v", i+1, n, v, ok, err)
			}
		}
		if c.Has("m") || c.Has(fmt.Sprintf("m%d", n)) {
			t.Errorf("of %d members, one that is not there is found", n)
		}
		for _, twice := range []int{0, few - 1, few, few + indexed - 1, few + indexed, n - 1} {
			if twice >= n || n == maxMembers {
				continue
			}
			if _, err := ParseObject("{" + strings.Join(members, ",") + "," + members[twice] + "}"); err == nil {
				t.Errorf("member %d of %d may be repeated", twice+1, n)
			}
		}
	}
}

// encoding/json reads what ParseObject accepts, with the same result. ParseObject accepts
// what encoding/json then writes.
func FuzzObject(f *testing.F) {
	if len(objects) == 0 {
		f.Fatal("no seeds")
	}
	for _, tt := range objects {
		f.Add(tt.doc)
	}
	for _, number := range []string{"1.7e9", "1.68E+09", "16800000000e-1", "-0", "1e12", "0.0000000017e18"} {
		f.Add(`{"exp":` + number + `}`)
	}
	f.Add(`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14,"o":15}`)
	f.Fuzz(func(t *testing.T, doc string) {
		c, err := ParseObject(doc)
		if err != nil {
			return
		}
		if !json.Valid([]byte(doc)) {
			t.Fatal("encoding/json calls it invalid")
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(doc), &members); err != nil {
			t.Fatal(err)
		}
		if count := c.count + len(c.more); len(members) != count {
			t.Fatalf("%d members, encoding/json has %d", count, len(members))
		}
		for name, value := range members {
			raw, ok := c.Raw(name)
			if !ok || string(raw) != string(value) {
				t.Fatalf("%q is %q, encoding/json has %q", name, raw, value)
			}
			text, _, err := c.String(name)
			var want any
			if json.Unmarshal(value, &want) != nil {
				continue // a number out of float64's range
			}
			if s, isString := want.(string); isString != (err == nil) || s != text {
				t.Fatalf("%q is %q (%v), encoding/json has %v", name, text, err, want)
			}
			list, _, err := c.Strings(name)
			var wantList []string
			if values, isArray := want.([]any); isArray {
				for _, v := range values {
					if s, isString := v.(string); isString {
						wantList = append(wantList, s)
					}
				}
				if (len(wantList) == len(values)) != (err == nil) || err == nil && !slices.Equal(list, wantList) {
					t.Fatalf("%q is %q (%v), encoding/json has %v", name, list, err, want)
				}
			}
			at, _, err := c.Time(name)
			// A float64 rounds 0.99999999999999999999 up.
			if n, isNumber := want.(float64); err == nil && (!isNumber || n < 0 || at.Unix() != int64(n) && at.Unix()+1 != int64(n)) {
				t.Fatalf("%q is the time %v, encoding/json has %v", name, at, want)
			}
		}
		again, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseObject(string(again)); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

// The error says what is wrong with the document.
func TestParseObjectSaysWhatIsWrong(t *testing.T) {
	many := "{"
	for i := range maxMembers + 1 {
		many += fmt.Sprintf(`"%d":0,`, i)
	}
	for doc, says := range map[string]string{
		"":                   "is empty",
		" \n":                "is empty",
		"\ufeff{}":           "byte order mark",
		"<!doctype html>":    `begins with "<!doctype "`,
		"[1]":                `begins with "[1]"`,
		`{"a":1`:             "cut short",
		`{"a":1,}`:           "not valid JSON (at byte 7)",
		`{} x`:               "something follows",
		`{"a":1,"\u0061":2}`: `"a" is there twice`,
		"{\"a\":\"\xff\"}":   "not valid UTF-8",
		`{"a":"\ud800"}`:     "half a surrogate pair",
		many + `"a":0}`:      "more than 256 members",
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}": "more than 32 levels",
	} {
		if _, err := ParseObject(doc); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want an error that says %q", doc, err, says)
		}
	}
}

// encoding/json matches members to fields whatever the case of letters. So two members
// that differ in case alone are an error: the last one must not win.
func TestUnmarshalOfNamesThatDifferInCase(t *testing.T) {
	for _, doc := range []string{`{"admin":false,"Admin":true}`, `{"admin":false,"x":1,"ADMIN":true}`, `{"s":1,"\u017f":2}`, `{"k":1,"\u212a":2}`} {
		object := sure(ParseObject(doc))
		v := struct{ Admin bool }{}
		if err := object.Unmarshal(&v); err == nil || !strings.Contains(err.Error(), "case") || v.Admin {
			t.Errorf("%s: %v, %+v", doc, err, v)
		}
		var members map[string]json.RawMessage // in a map each keeps its own name
		if err := object.Unmarshal(&members); err != nil || len(members) < 2 {
			t.Errorf("%s: %v, %v", doc, members, err)
		}
	}
}
