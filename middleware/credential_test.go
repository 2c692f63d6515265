package middleware

import (
	"net/http"
	"strings"
	"testing"
)

// TRAPS: optional auth (CVE-2021-21378); two tokens, the first valid one wins
// (echo-jwt). RFC 6750, sections 2 and 3.1.
func TestCredential(t *testing.T) {
	keys := newKeyring(t, ecKey)
	good := goodToken(t, keys)
	const bad = "a.b.c"
	const (
		bare      = `Bearer realm="api"`
		ambiguous = `Bearer error="invalid_request", error_description="send exactly one access token, in one Authorization header"`
		invalid   = `Bearer error="invalid_token", error_description="the access token is not valid"`
	)
	type header = []string
	for name, tt := range map[string]struct {
		path      string
		headers   header
		status    int
		challenge string
	}{
		"one":                    {"/", header{"Bearer " + good}, 200, ""},
		"lower case":             {"/", header{"bearer " + good}, 200, ""},
		"upper case":             {"/", header{"BEARER " + good}, 200, ""},
		"two spaces":             {"/", header{"Bearer  " + good}, 200, ""},
		"other query":            {"/?token=x&access_tokens=y&a%63cess=1", header{"Bearer " + good}, 200, ""},
		"none":                   {"/", nil, 401, bare},
		"empty":                  {"/", header{""}, 401, bare},
		"Basic":                  {"/", header{"Basic dXNlcjpwYXNz"}, 401, bare},
		"DPoP":                   {"/", header{"DPoP " + good}, 401, bare},
		"Bearer as a prefix":     {"/", header{"BearerX " + good}, 401, bare},
		"no scheme":              {"/", header{good}, 401, bare},
		"no space":               {"/", header{"Bearer" + good}, 401, bare},
		"tab for a space":        {"/", header{"Bearer\t" + good}, 401, bare},
		"query alone":            {"/?access_token=" + good, nil, 401, bare},
		"query and Basic":        {"/?access_token=" + good, header{"Basic dXNlcjpwYXNz"}, 401, bare},
		"scheme alone":           {"/", header{"Bearer"}, 400, ambiguous},
		"scheme and space":       {"/", header{"Bearer "}, 400, ambiguous},
		"scheme and spaces":      {"/", header{"Bearer   "}, 400, ambiguous},
		"two in one":             {"/", header{"Bearer " + good + " " + good}, 400, ambiguous},
		"space after":            {"/", header{"Bearer " + good + " "}, 400, ambiguous},
		"two by comma":           {"/", header{"Bearer " + good + ", Bearer " + good}, 400, ambiguous},
		"comma":                  {"/", header{"Bearer " + good + ","}, 400, ambiguous},
		"parameters":             {"/", header{`Bearer realm="x", token="` + good + `"`}, 400, ambiguous},
		"two headers":            {"/", header{"Bearer " + good, "Bearer " + good}, 400, ambiguous},
		"two headers, bad last":  {"/", header{"Bearer " + good, "Bearer " + bad}, 400, ambiguous},
		"two headers, bad first": {"/", header{"Bearer " + bad, "Bearer " + good}, 400, ambiguous},
		"Basic and Bearer":       {"/", header{"Basic dXNlcjpwYXNz", "Bearer " + good}, 400, ambiguous},
		"header and query":       {"/?access_token=" + good, header{"Bearer " + good}, 400, ambiguous},
		"header and empty query": {"/?a=b&access_token", header{"Bearer " + good}, 200, ""},
		"empty parameter":        {"/?access_token=&a=b", header{"Bearer " + good}, 200, ""},
		"empty header before":    {"/", header{"", "Bearer " + good}, 200, ""},
		"empty header behind":    {"/", header{"Bearer " + good, " "}, 200, ""},
		"empty headers":          {"/", header{"", ""}, 401, bare},
		"empty header and two":   {"/", header{"", "Bearer " + good, "Bearer " + good}, 400, ambiguous},
		"header and %-query":     {"/?%61ccess%5ftoken=" + good, header{"Bearer " + good}, 400, ambiguous},
		"header and broken query": {"/?%zz=1&access%5Ftoken=" + good, header{"Bearer " + good},
			400, ambiguous},
		"malformed":  {"/", header{"Bearer " + bad}, 401, invalid},
		"not a JWT":  {"/", header{"Bearer hunter2"}, 401, invalid},
		"quoted":     {"/", header{`Bearer "` + good + `"`}, 401, invalid},
		"very long":  {"/", header{"Bearer " + strings.Repeat(" ,", 1<<19)}, 401, invalid},
		"non-ASCII":  {"/", header{"Bearer " + good + "\u00e9"}, 401, invalid},
		"odd spaces": {"/", header{"Bearer " + good + "\u00a0" + good}, 401, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, Config{Keys: keys})
			w := a.get(tt.path, tt.headers...)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != tt.challenge {
				t.Errorf("WWW-Authenticate %q, want %q", got, tt.challenge)
			}
			if served := len(a.tokens) == 1; served != (tt.status == http.StatusOK) {
				t.Errorf("status %d, and handler called: %v", w.Code, served)
			}
		})
	}
}

// The body is the handler's: a token in a form is no credential, and the body is
// still there to read.
func TestCredentialNotReadFromForm(t *testing.T) {
	keys := newKeyring(t, ecKey)
	a := newAPI(t, Config{Keys: keys})
	a.POST("/form", a.serve, a.auth.Require())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/form", strings.NewReader("access_token="+goodToken(t, keys)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := a.send(r); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != `Bearer realm="api"` {
		t.Errorf("status %d, challenge %q", w.Code, w.Header().Get("WWW-Authenticate"))
	}
	if err := r.ParseForm(); err != nil || !r.PostForm.Has("access_token") {
		t.Errorf("the body was read: %v, %v", r.PostForm, err)
	}
}
