package issuer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// badForms returns bodies that are refused, with the description of the error.
func badForms() map[string]string {
	const (
		repeated = "a parameter is repeated"
		notForm  = "the request is not application/x-www-form-urlencoded"
	)
	var many, resources strings.Builder
	for n := range maxParameters + 1 {
		fmt.Fprintf(&many, "&p%d=", n)
	}
	for n := range maxResources + 1 {
		fmt.Fprintf(&resources, "&resource=%s/%d", ordersAPI, n)
	}
	return map[string]string{
		appForm + "&client_id=app":                        repeated,
		appForm + "&client_id=other":                      repeated,
		appForm + "&client_secret=x":                      repeated,
		appForm + "&client_secret=":                       repeated,
		appForm + "&grant_type=client_credentials":        repeated,
		appForm + "&grant%5Ftype=client_credentials":      repeated,
		appForm + "&scope=orders:read&scope=orders:write": repeated,
		appForm + "&scope=&scope=":                        repeated,
		appForm + "&unknown=1&unknown=2":                  repeated,
		appForm + "&=1&=2":                                repeated,
		appForm + "&client_assertion=&client_assertion=":  repeated,
		appForm + "&%zz=1":                                notForm,
		appForm + "&x=%":                                  notForm,
		appForm + "&x=%4":                                 notForm,
		appForm + "&scope=%u0041":                         notForm,
		`{"grant_type":"client_credentials","x":"50%"}`:   notForm,
		appForm + many.String():                           "too many parameters",
		appForm + resources.String():                      "too many resource parameters",
	}
}

// goodForms returns bodies that get a token.
func goodForms() []string {
	return []string{
		appForm,
		appForm + "&",
		"&&" + appForm + "&&",
		appForm + "&unknown=1&other=2",
		appForm + "&scope",
		appForm + "&scope=",
		appForm + "&resource=",
		appForm + "&resource=&resource=",
		appForm + "&" + form("resource", ordersAPI, "resource", ordersAPI),
		appForm + "&client_assertion=&client_assertion_type=",
		appForm + "&Scope=nothing&CLIENT_ID=x", // names are case-sensitive
		appForm + "&=",
		strings.Replace(appForm, "grant_type", "%67rant%5ftype", 1),
		appForm + "&pad=" + strings.Repeat("x", maxRequest-len(appForm)-5),
	}
}

func TestForm(t *testing.T) {
	s := newService(t, Config{})
	for body, description := range badForms() {
		s.wantError(t, s.post(body), 400, "invalid_request", description)
	}
	for _, body := range goodForms() {
		if got := s.wantToken(t, s.post(body)).scope(t); got != "orders:read orders:write" {
			t.Errorf("scope %q for %.200s", got, body)
		}
	}
	s.wantError(t, s.post("grant_type=&"+form("client_id", "app", "client_secret", appSecret)), 400, "invalid_request", "grant_type is missing")
	s.wantError(t, s.post("grant_type=client_credentials&client_id=&client_secret="), 401, "invalid_client", "client authentication is missing; this issuer accepts client_secret_basic, client_secret_post, private_key_jwt")
}

func TestContentType(t *testing.T) {
	s := newService(t, Config{})
	for _, tt := range []struct {
		values []string
		ok     bool
	}{
		{[]string{"application/x-www-form-urlencoded"}, true},
		{[]string{"application/x-www-form-urlencoded;charset=UTF-8"}, true},
		{[]string{"application/x-www-form-urlencoded; charset=utf-8"}, true},
		{[]string{"Application/X-WWW-Form-Urlencoded"}, true},
		{nil, false},
		{[]string{""}, false},
		{[]string{"application/json"}, false},
		{[]string{"text/plain"}, false},
		{[]string{"multipart/form-data; boundary=x"}, false},
		{[]string{"application/x-www-form-urlencoded, text/plain"}, false},
		{[]string{"application/x-www-form-urlencoded-x"}, false},
		{[]string{"application/x-www-form-urlencoded; charset"}, true},
		{[]string{"application/x-www-form-urlencoded; charset="}, true},
		{[]string{"", "application/x-www-form-urlencoded"}, true},
		{[]string{"application/x-www-form-urlencoded", "application/x-www-form-urlencoded"}, false},
	} {
		r := httptest.NewRequest("POST", "/token", strings.NewReader(appForm))
		r.Header["Content-Type"] = tt.values
		if w := s.send(r); tt.ok {
			s.wantToken(t, w)
		} else {
			s.wantError(t, w, 400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded")
		}
	}

	// A multipart form is refused, even if a middleware has read it.
	s.app.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			_ = c.FormValue("csrf")
			return next(c)
		}
	})
	var body strings.Builder
	for _, field := range []string{"grant_type\"\r\n\r\nclient_credentials", "client_id\"\r\n\r\napp", "client_secret\"\r\n\r\n" + appSecret} {
		body.WriteString("--x\r\nContent-Disposition: form-data; name=\"" + field + "\r\n")
	}
	body.WriteString("--x--\r\n")
	r := httptest.NewRequest("POST", "/token", strings.NewReader(body.String()))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	s.wantError(t, s.send(r), 400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded")
	if r.PostForm.Get("client_id") != "app" {
		t.Error("the middleware has not read the form")
	}
}

func TestQuery(t *testing.T) {
	s := newService(t, Config{})
	for _, query := range []string{
		"client_secret=x", "client_id=app", "grant_type=client_credentials", "scope=a", "resource=a", "client_assertion=a",
		"client_assertion_type=a", "client_secret", "client_secret=", "a=b&client%5Fsecret=x", "%zz=1&client_secret=x",
	} {
		r := httptest.NewRequest("POST", "/token?"+query, strings.NewReader(appForm))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.wantError(t, s.send(r), 400, "invalid_request", "parameters belong in the body of the request, not in its URL")
	}
	for _, query := range []string{"", "tenant=a", "a=b&a=c", "%zz", "x;client_secret=y"} {
		r := httptest.NewRequest("POST", "/token?"+query, strings.NewReader(appForm))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.wantToken(t, s.send(r))
	}
	// Parameters in the URL are not read.
	if _, err := readParameters(httptest.NewRequest("POST", "/token?"+appForm, http.NoBody)); err == nil {
		t.Error("the query is read")
	}
}

// A middleware in front, such as CSRF protection, may have read the form.
func TestFormAlreadyParsed(t *testing.T) {
	for name, read := range map[string]func(c echo.Context){
		"ParseForm": func(c echo.Context) { _ = c.Request().ParseForm() },
		"FormValue": func(c echo.Context) { _ = c.FormValue("csrf") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, Config{})
			s.app.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					read(c)
					return next(c)
				}
			})
			for _, body := range goodForms() {
				if got := s.wantToken(t, s.post(body)).scope(t); got != "orders:read orders:write" {
					t.Errorf("scope %q for %.200s", got, body)
				}
			}
			for body, description := range badForms() {
				if description == "the request is not application/x-www-form-urlencoded" {
					continue // net/http drops what it cannot parse, and the middleware may ignore its error
				}
				s.wantError(t, s.post(body), 400, "invalid_request", description)
			}
			// Parameters in the URL are refused, although r.Form has them too.
			w := s.get("POST", "/token?"+appForm, "Content-Type", "application/x-www-form-urlencoded")
			s.wantError(t, w, 400, "invalid_request", "parameters belong in the body of the request, not in its URL")
			for size, length := range map[int]int64{maxRequest: int64(len(appForm) + len("&pad=") + maxRequest), 3 * maxRequest: -1} {
				r := httptest.NewRequest("POST", "/token", strings.NewReader(appForm+"&pad="+strings.Repeat("x", size)))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.ContentLength = length
				s.wantError(t, s.send(r), 413, "invalid_request", "the request is larger than 64 KiB")
			}
		})
	}
}

// A body of 64 KiB is accepted, and a larger one is refused, with or without a Content-Length.
func TestRequestSize(t *testing.T) {
	s := newService(t, Config{})
	server := httptest.NewServer(s.app)
	defer server.Close()
	for name, tt := range map[string]struct {
		size    int
		chunked bool
		status  int
	}{
		"64 KiB":               {maxRequest, false, 200},
		"64 KiB, chunked":      {maxRequest, true, 200},
		"a byte more":          {maxRequest + 1, false, 413},
		"a byte more, chunked": {maxRequest + 1, true, 413},
		"256 KiB, chunked":     {4 * maxRequest, true, 413},
	} {
		t.Run(name, func(t *testing.T) {
			body := io.Reader(strings.NewReader(appForm + "&pad=" + strings.Repeat("x", tt.size-len(appForm)-len("&pad="))))
			if tt.chunked {
				body = io.MultiReader(body) // so that net/http does not know the length
			}
			response, err := server.Client().Post(server.URL+"/token", "application/x-www-form-urlencoded", body)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != tt.status {
				t.Errorf("status %d, want %d", response.StatusCode, tt.status)
			}
			if answer, _ := io.ReadAll(response.Body); tt.status == 413 && string(answer) != `{"error":"invalid_request","error_description":"the request is larger than 64 KiB"}` {
				t.Errorf("body %s", answer)
			}
		})
	}
}

// A body that ends early gets 400.
func TestBrokenBody(t *testing.T) {
	s := newService(t, Config{})
	r := httptest.NewRequest("POST", "/token", io.MultiReader(strings.NewReader(appForm), brokenReader{}))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.wantError(t, s.send(r), 400, "invalid_request", "the request could not be read to its end")
	s.wantCause(t, net.ErrClosed)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, net.ErrClosed }

func FuzzParameters(f *testing.F) {
	var seeds []string
	for body := range badForms() {
		seeds = append(seeds, body)
	}
	for _, body := range goodForms() {
		if len(body) < 4096 {
			seeds = append(seeds, body)
		}
	}
	seeded(f, append(seeds, "", "&", "=", "a;b=c", "a=b=c", "\x00=\xff", "+=+"), func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, body string) {
		var request parameters
		if err := request.parse(body); err != nil {
			if err.Status != http.StatusBadRequest || err.Code != "invalid_request" {
				t.Errorf("%q: %+v", body, err)
			}
			return
		}
		values, err := url.ParseQuery(body)
		if err != nil && !strings.Contains(body, ";") { // url.ParseQuery refuses ";", and the standard for forms allows it
			t.Fatalf("%q is accepted, but is not a form: %v", body, err)
		}
		if err != nil {
			return
		}
		for name, got := range values {
			if name != "resource" && len(got) > 1 {
				t.Errorf("%q is accepted with %s repeated", body, name)
			}
		}
		got := []string{request.grantType, request.scope, request.clientID, request.clientSecret, request.clientAssertion, request.assertionType}
		for n, name := range []string{"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"} {
			if got[n] != values.Get(name) {
				t.Errorf("%q: %s is %q, want %q", body, name, got[n], values.Get(name))
			}
		}
		resources := slices.DeleteFunc(values["resource"], func(r string) bool { return r == "" })
		if !slices.Equal(request.resource, resources) || len(resources) > maxResources || len(values) > maxParameters+1 {
			t.Errorf("%q: resources %q, want %q", body, request.resource, resources)
		}
		// A form that a middleware has read is the same request.
		r := httptest.NewRequest("POST", "/token", http.NoBody)
		r.PostForm = values
		encoded, tooLarge := readBody(r)
		var again parameters
		if tooLarge != nil && len(body) < maxRequest/3 {
			t.Errorf("%q is too large", body)
		}
		if tooLarge != nil {
			return
		}
		if err := again.parse(encoded); err != nil || fmt.Sprint(again) != fmt.Sprint(request) {
			t.Errorf("%q read by a middleware is %+v, want %+v (%v)", body, again, request, errors.Unwrap(err))
		}
	})
}
