package tool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// apiClients are the clients of an issuer through its admin API (package
// issuer/admin).
type apiClients struct {
	base       string // without a slash at its end
	id, secret string // of the client that the tool uses; empty where it was given a token
	issuer     string
	resources  []string

	token   string
	expires time.Time // zero for a token that was given

	rest map[string]map[string]json.RawMessage // of each client that was read: the members that this tool does not know
}

// openAPI opens the admin API at the URL, as the client of CLIENT_ID and
// CLIENT_SECRET, or with the token ACCESS_TOKEN.
func openAPI(ctx context.Context, base string, getenv func(string) string) (Storage, error) {
	a := &apiClients{base: strings.TrimSuffix(base, "/"), token: getenv("ACCESS_TOKEN"), issuer: getenv("ISSUER")}
	u, err := url.Parse(a.base)
	if err != nil {
		return Storage{}, errors.New("the URL of the admin API is no URL")
	}
	if strings.ContainsAny(base, "?#") {
		return Storage{}, errors.New("the URL of the admin API: write it without a query and a fragment")
	}
	if err := fetcher.CheckURL(a.base); err != nil {
		return Storage{}, fmt.Errorf("the URL of the admin API: write https, or http on the loopback, such as http://127.0.0.1:8080/admin: %w", err)
	}
	if a.issuer == "" {
		a.issuer = u.Scheme + "://" + u.Host
	}
	if audience := getenv("AUDIENCE"); audience != "" {
		a.resources = []string{audience}
	}
	if a.token == "" {
		a.id, a.secret = getenv("CLIENT_ID"), getenv("CLIENT_SECRET")
		if a.id == "" || a.secret == "" {
			return Storage{}, errors.New("the admin API wants a token: set CLIENT_ID and CLIENT_SECRET of a client with its scope, or ACCESS_TOKEN")
		}
	}
	_, err = bounded{a, a.base}.List(ctx, registry.Query{Limit: 1})
	if errors.Is(err, registry.ErrNotFound) {
		err = errors.New("there is no admin API at this URL (status 404)")
	}
	if err != nil {
		return Storage{}, fmt.Errorf("the admin API %s: %w", a.base, err)
	}
	return Storage{Clients: a, Place: a.base, Close: func() error { return nil }}, nil
}

// authorize gets a token if there is none that is valid.
func (a *apiClients) authorize(ctx context.Context) error {
	if a.token != "" && (a.expires.IsZero() || time.Now().Before(a.expires)) {
		return nil
	}
	got, err := grant{issuer: a.issuer, id: a.id, secret: a.secret, resources: a.resources}.ask(ctx)
	if err == nil {
		a.token, a.expires = got.Token, got.expiry(time.Now())
	}
	return err
}

// call makes one request. A token that was refused is replaced once.
func (a *apiClients) call(ctx context.Context, method, path string, body, answer any) error {
	var doc []byte
	if body != nil {
		var err error
		if doc, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for again := false; ; again = true {
		if err := a.authorize(ctx); err != nil {
			return err
		}
		status, content, err := a.request(ctx, method, path, doc)
		switch {
		case err != nil:
			return without(err, a.token, a.secret)
		case status == http.StatusUnauthorized && a.id != "" && !again:
			a.token = ""
			continue
		case status < 300:
			return read(content, answer)
		}
		return without(refused(status, content), a.token, a.secret)
	}
}

// read reads an answer. An answer that is no JSON object is a failure also where nothing
// is read from it: a page of a proxy must not pass for a change that was made.
func read(content []byte, answer any) error {
	if answer == nil {
		answer = &struct{}{}
	}
	if err := unmarshal(content, answer); err != nil {
		return fmt.Errorf("%w: %w", errNotAdmin, err)
	}
	return nil
}

var errNotAdmin = errors.New("the answer is not one of the admin API")

func (a *apiClients) request(ctx context.Context, method, path string, doc []byte) (status int, content []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(doc))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	if doc != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return send(r)
}

// refused is the error of an answer, as a registry's where it has one.
func refused(status int, content []byte) error {
	var e struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = unmarshal(content, &e) // an answer that is no JSON has no code
	switch {
	case status == http.StatusNotFound && e.Code == "not_found" && !strings.Contains(e.Description, "path"):
		return registry.ErrNotFound
	case status == http.StatusConflict:
		return registry.ErrConflict
	case status == http.StatusBadRequest && e.Code != "":
		field, problem, ok := strings.Cut(e.Description, ": ")
		if !ok {
			field, problem = "the request", e.Description
		}
		return &registry.InvalidError{Field: dash(field), Problem: dash(problem)}
	}
	text := refusal(status, content)
	switch status {
	case http.StatusUnauthorized:
		text += ": the token is not accepted; is it for this API, and still valid?"
	case http.StatusForbidden:
		text += ": the client lacks the scope of the admin API, such as clients:admin"
	case http.StatusServiceUnavailable:
		text += ": the change may have been written, see: clients show"
	}
	return errors.New(text)
}
