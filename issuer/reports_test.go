package issuer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Faults that were reported of other servers.

// wire sends bytes to a real server and returns the status of its answer.
func wire(t *testing.T, h http.Handler, request string) int {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewReader(c); ; {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusContinue {
			return response.StatusCode
		}
	}
}

const plainForm = "Content-Type: application/x-www-form-urlencoded"

// onWire writes a request. Headers are divided by |.
func onWire(version, target, headers, body string) string {
	if !strings.Contains(headers, "Content-Type") {
		headers += "|" + plainForm
	}
	headers = strings.ReplaceAll(strings.Trim(headers, "|"), "|", "\r\n")
	return fmt.Sprintf("POST %s HTTP/%s\r\nHost: x\r\nConnection: close\r\n%s\r\nContent-Length: %d\r\n\r\n%s", target, version, headers, len(body), body)
}

func chunked(body string) string {
	return fmt.Sprintf("POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", plainForm, len(body), body)
}

// Requests with the quirks of real clients.
func TestFormQuirks(t *testing.T) {
	s := newService(t, Config{})
	basicApp := base64.StdEncoding.EncodeToString([]byte("app:" + appSecret))
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"charset":               {onWire("1.1", "/token", "Content-Type: application/x-www-form-urlencoded;charset=UTF-8", appForm), 200},
		"charset without value": {onWire("1.1", "/token", "Content-Type: application/x-www-form-urlencoded; charset", appForm), 200},
		"capitals":              {onWire("1.1", "/token", "Content-Type: APPLICATION/X-WWW-FORM-URLENCODED; CHARSET=utf-8", appForm), 200},
		"trailing semicolon":    {onWire("1.1", "/token", "Content-Type: application/x-www-form-urlencoded;", appForm), 200},
		"scope empty":           {onWire("1.1", "/token", "", appForm+"&scope="), 200},
		"scope plus":            {onWire("1.1", "/token", "", appForm+"&scope=orders:read+orders:write"), 200},
		"scope array":           {onWire("1.1", "/token", "", appForm+"&scope%5B0%5D=nobody"), 200},
		"empty parameters":      {onWire("1.1", "/token", "", appForm+"&code=&refresh_token=&username=&token=&token_type_hint=&resource=&audience=&client_assertion="), 200},
		"audience":              {onWire("1.1", "/token", "", appForm+"&audience=https%3A%2F%2Felsewhere.example"), 200},
		"expect":                {onWire("1.1", "/token", "Expect: 100-continue", appForm), 200},
		"accept":                {onWire("1.1", "/token", "Accept: application/xml", appForm), 200},
		"override":              {onWire("1.1", "/token", "X-HTTP-Method-Override: GET", appForm), 200},
		"empty Authorization":   {onWire("1.1", "/token", "Authorization:", appForm), 200},
		"blank Authorization":   {onWire("1.1", "/token", "Authorization:  \t ", appForm), 200},
		"identity":              {onWire("1.1", "/token", "Content-Encoding: identity", appForm), 200},
		"empty encoding":        {onWire("1.1", "/token", "Content-Encoding:", appForm), 200},
		"HTTP/1.0":              {onWire("1.0", "/token", "", appForm), 200},
		"absolute URL":          {onWire("1.1", "http://auth.example/token", "", appForm), 200},
		"lower-case basic":      {onWire("1.1", "/token", "authorization: basic "+basicApp, "grant_type=client_credentials"), 200},
		"basic with two spaces": {onWire("1.1", "/token", "Authorization: Basic  "+basicApp, "grant_type=client_credentials"), 200},
		"client_id in both":     {onWire("1.1", "/token", "Authorization: Basic "+basicApp, "grant_type=client_credentials&client_id=app&client_secret="), 200},
		"client_id empty":       {onWire("1.1", "/token", "Authorization: Basic "+basicApp, "grant_type=client_credentials&client_id="), 200},
		"unknown query":         {onWire("1.1", "/token?api-version=1&audience=x", "", appForm), 200},
		"chunked":               {chunked(appForm), 200},
		"grant_type empty":      {onWire("1.1", "/token", "Authorization: Basic "+basicApp, "grant_type="), 400},
		"token empty":           {onWire("1.1", "/revoke", "", appForm+"&token="), 400},
		"json":                  {onWire("1.1", "/token", "Content-Type: application/json", appForm), 400},
		"multipart":             {onWire("1.1", "/token", "Content-Type: multipart/form-data; boundary=x", appForm), 400},
		"two scopes":            {onWire("1.1", "/token", "", appForm+"&scope=orders:read&scope=orders:write"), 400},
		"newline at the end":    {onWire("1.1", "/token", "", appForm+"%0D%0A"), 401},
		"header and form":       {onWire("1.1", "/token", "Authorization: Basic cmVwb3J0ZXI6eA==", appForm), 400},
	} {
		if got := wire(t, s.app, c.request); got != c.status {
			t.Errorf("%s: %d, want %d", name, got, c.status)
		}
	}
}

// A body over a limit in front of the issuer gets 413, even if a middleware has tried to
// read the form first.
func TestLimitInFront(t *testing.T) {
	s := newService(t, Config{})
	body := appForm + "&pad=" + strings.Repeat("x", 3000)
	for name, handler := range map[string]http.Handler{
		"BodyLimit": behind(s, echomiddleware.BodyLimit("1K")),
		"BodyLimit, CSRF": behind(s, echomiddleware.BodyLimit("1K"), func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error { _ = c.FormValue("csrf"); return next(c) }
		}),
		"MaxBytesReader": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1024)
			s.issuer.Handler().ServeHTTP(w, r)
		}),
		"MaxBytesHandler": http.MaxBytesHandler(s.issuer.Handler(), 1024),
	} {
		if got := wire(t, handler, chunked(body)); got != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d", name, got)
		}
		if got := wire(t, handler, chunked(appForm)); got != http.StatusOK {
			t.Errorf("%s, within the limit: %d", name, got)
		}
	}
}

// behind is an app with the middlewares in front of the issuer.
func behind(s *service, middlewares ...echo.MiddlewareFunc) http.Handler {
	e := echo.New()
	e.Use(middlewares...)
	s.issuer.Mount(e)
	return e
}

// A compressed form gets 415, unless a middleware decompresses it.
func TestCompressed(t *testing.T) {
	s := newService(t, Config{})
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, appForm)
	_ = w.Close()
	for _, encoding := range []string{"gzip", "br", "deflate", ""} {
		r := newForm("/token", zipped.String(), "Content-Encoding", encoding)
		w := s.send(r)
		if got := w.Body.String(); w.Code != 415 || w.Header().Get("Accept-Encoding") != "identity" || got != `{"error":"invalid_request","error_description":"the request is compressed, and must not be"}` {
			t.Errorf("%q: %d %v %s", encoding, w.Code, w.Header(), got)
		}
		if e := s.lastEvent(t); e.Status != 415 || e.Reason != event.MalformedRequest {
			t.Errorf("%+v", e)
		}
	}
	answer := httptest.NewRecorder()
	behind(s, echomiddleware.Decompress()).ServeHTTP(answer, newForm("/token", zipped.String(), "Content-Encoding", "gzip"))
	s.wantToken(t, answer)
}

// Every 401 has a challenge with the error and its description.
func TestChallenge(t *testing.T) {
	refusing := claimsError(t, &Error{Status: 401, Code: "invalid_client", Description: "say \"please\\\" \r\nX: ü"})
	s := newService(t, Config{})
	for _, path := range []string{"/token", "/revoke", "/introspect"} {
		for _, header := range [][]string{nil, {"Authorization", basic("app", "wrong")}, {"Authorization", "Bearer x"}} {
			body := "grant_type=client_credentials&token=x"
			if header == nil {
				body += "&client_id=app&client_secret=wrong"
			}
			w := s.postTo(path, body, header...)
			var answer struct {
				Description string `json:"error_description"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			want := `Basic realm="token", charset="UTF-8", error="invalid_client", error_description="` + answer.Description + `"`
			if got := w.Header()["Www-Authenticate"]; w.Code != 401 || !slices.Equal(got, []string{want}) {
				t.Errorf("%s %v: %d %q, want %q", path, header, w.Code, got, want)
			}
		}
	}
	w := refusing.post(appForm)
	if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || got != `Basic realm="token", charset="UTF-8", error="invalid_client", error_description="say 'please''   X:  "` {
		t.Errorf("%d %q", w.Code, got)
	}
}

// The error for an issuer that is not ASCII asks for the ASCII form, and suggests nothing
// else.
func TestInternationalIssuer(t *testing.T) {
	for _, issuer := range []string{"https://münchen.example", "https://m%C3%BCnchen.example", "https://xn--mnchen-3ya.ü.example"} {
		_, err := New(Config{Issuer: issuer, Keys: newKeyring(t, ecKey), Store: newStore(t)})
		if err == nil || strings.Contains(err.Error(), "such as") || !strings.Contains(err.Error(), "ASCII") {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	if i, err := New(Config{Issuer: "https://xn--mnchen-3ya.example", Keys: newKeyring(t, ecKey), Store: newStore(t)}); err != nil {
		t.Error(err)
	} else if err := i.Close(); err != nil {
		t.Error(err)
	}
}

// The metadata is at the path that RFC 8414 gives it, and below the issuer's own, with
// Echo and without; so is the document of OpenID Connect Discovery, where it is
// served. An ingress may route nothing but the issuer's path.
func TestWhereMetadataIs(t *testing.T) {
	for issuer, base := range map[string]string{"https://h": "", "https://h/": "", "https://h/t": "/t", "https://h/a/b/": "/a/b", "https://h/a%2Fb": "/a%2Fb"} {
		for _, openID := range []bool{false, true} {
			s := newService(t, Config{Issuer: issuer, OpenIDConfiguration: openID})
			for wellKnown, served := range map[string]bool{metadataPath: true, openIDPath: openID} {
				for _, path := range []string{wellKnown + base, base + wellKnown} {
					plain := httptest.NewRecorder()
					s.issuer.Handler().ServeHTTP(plain, httptest.NewRequest("GET", path, http.NoBody))
					for _, w := range []*httptest.ResponseRecorder{plain, s.get("GET", path)} {
						if (w.Code == 200) != served || !served && w.Code != 404 {
							t.Errorf("%s of %s: %d", path, issuer, w.Code)
						}
						var document struct {
							Issuer     string
							KeySet     string   `json:"jwks_uri"`
							Algorithms []string `json:"id_token_signing_alg_values_supported"`
							Subjects   []string `json:"subject_types_supported"`
						}
						if _ = json.Unmarshal(w.Body.Bytes(), &document); !served {
							continue
						}
						if document.Issuer != issuer || document.KeySet != strings.TrimSuffix(issuer, "/")+jwksPath {
							t.Errorf("%s of %s: %s", path, issuer, w.Body)
						}
						if isOpenID := wellKnown == openIDPath; isOpenID != slices.Equal(document.Algorithms, []string{"ES256"}) || isOpenID != slices.Equal(document.Subjects, []string{"public"}) {
							t.Errorf("%s of %s: %s", path, issuer, w.Body)
						}
					}
					if w := s.get("POST", path); served && w.Code != 405 {
						t.Errorf("POST %s: %d", path, w.Code)
					}
				}
			}
		}
	}
	// What the keyring publishes is what is stated.
	rsa, err := jose.Generate("RS256")
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, Config{Keys: newKeyring(t, rsa, ecKey), OpenIDConfiguration: true})
	if w := s.get("GET", openIDPath); !strings.Contains(w.Body.String(), `"id_token_signing_alg_values_supported":["ES256","RS256"]`) {
		t.Errorf("%s", w.Body)
	}
	// The token endpoint cannot have the path of another endpoint.
	for issuer, path := range map[string]string{"https://h": openIDPath, "https://h/t": metadataPath, "https://h/u": "/revoke", "https://h/v": jwksPath} {
		if _, err := New(Config{Issuer: issuer, TokenPath: path, Keys: newKeyring(t, ecKey), Store: newStore(t)}); err == nil || !strings.Contains(err.Error(), "Config.TokenPath") {
			t.Errorf("%s %s: %v", issuer, path, err)
		}
	}
}

// A client that may not introspect a token gets "inactive". The event says why.
func TestIntrospectTellsOperator(t *testing.T) {
	s := newService(t, Config{}, app(), guard("billing", billingAPI))
	g := s.wantToken(t, s.post(appForm))
	e := s.took(t, func() { s.wantBody(t, s.postTo("/introspect", asks("billing", g.token)), inactiveBody) })
	if e.Reason != event.WrongAudience || e.Status != 200 || e.Err == nil || e.ClientID != "billing" || e.TokenID != g.claims.ID {
		t.Errorf("%+v", e)
	}
}

// Ready of an issuer that New did not make returns ErrUnavailable, so a probe takes it out of
// service.
func TestReadyOfAZeroIssuer(t *testing.T) {
	for _, i := range []*Issuer{nil, {}} {
		if err := i.Ready(t.Context()); !errors.Is(err, errNotMade) || !errors.Is(err, jwks.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	}
}
