package exchange

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// printer prints requests and answers.
type printer struct {
	mu  sync.Mutex
	out io.Writer
}

func (p *printer) sayf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format, args...)
}

// show prints the requests that next gets, and its answers, but for those of metadata and
// key sets.
func (p *printer) show(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			next.ServeHTTP(w, r)
			return
		}
		var text strings.Builder
		fmt.Fprintf(&text, "  -> %s %s\n", r.Method, r.URL.Path)
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			line(&text, "certificate of the client", r.TLS.PeerCertificates[0].Subject.String())
		}
		for _, name := range []string{"Authorization", "Dpop"} {
			if value := r.Header.Get(name); value != "" {
				line(&text, name, value)
			}
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if form, err := url.ParseQuery(string(body)); err == nil {
			for _, name := range slices.Sorted(maps.Keys(form)) {
				line(&text, name, form.Get(name))
			}
		}
		answer := &recorded{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		fmt.Fprintf(&text, "  <- %d\n", answer.status)
		for _, name := range []string{"WWW-Authenticate", "DPoP-Nonce"} {
			for _, value := range w.Header().Values(name) {
				line(&text, name, value)
			}
		}
		line(&text, "", answer.body.String())
		p.sayf("%s", &text)
	})
}

// recorded keeps an answer that it writes.
type recorded struct {
	http.ResponseWriter
	status int
	body   strings.Builder
}

func (w *recorded) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorded) Write(text []byte) (int, error) {
	w.body.Write(text) // it never fails
	return w.ResponseWriter.Write(text)
}

// line prints one value, and below it what each JWT in it says.
func line(text *strings.Builder, name, value string) {
	value = strings.TrimSpace(value)
	if name != "" {
		name += ": "
	}
	fmt.Fprintf(text, "       %s%s\n", name, jwt.ReplaceAllString(value, "(JWT)"))
	for _, token := range jwt.FindAllString(value, -1) {
		parts := strings.Split(token, ".")
		for _, part := range parts[:2] {
			if decoded, err := base64.RawURLEncoding.DecodeString(part); err == nil {
				fmt.Fprintf(text, "         %s\n", decoded)
			}
		}
	}
}

// jwt is a signed JWT. Its signature is not printed, so it cannot be used by those who read
// the output.
var jwt = regexp.MustCompile(`eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+`)
