package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// unread is a ResponseWriter that keeps only the status.
type unread struct {
	header http.Header
	status int
}

func (u *unread) Header() http.Header         { return u.header }
func (u *unread) WriteHeader(status int)      { u.status = status }
func (u *unread) Write(p []byte) (int, error) { return len(p), nil }

const routePath = "/v1/orders"

// newRoute is an Echo app with one route behind a guard. A refusal is answered
// with its status alone, for every guard.
func newRoute(guard ...echo.MiddlewareFunc) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := http.StatusInternalServerError
		if h := (*echo.HTTPError)(nil); errors.As(err, &h) {
			status = h.Code
		}
		if !c.Response().Committed {
			c.Response().WriteHeader(status)
		}
	}
	e.GET(routePath, func(c echo.Context) error { return c.NoContent(http.StatusOK) }, guard...)
	return e
}

// caller sends one request again and again, in process, and reads only the status of
// the answer.
type caller struct {
	handler http.Handler
	request *http.Request
	field   []string // the Authorization header
	answer  unread
}

func newCaller(handler http.Handler) (*caller, error) {
	// As a server would see it, and unlike httptest's without a body to read.
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, routePath, nil)
	if err != nil {
		return nil, err
	}
	field := []string{""}
	r.RequestURI, r.RemoteAddr = routePath, "127.0.0.1:1"
	r.Header["Authorization"] = field
	return &caller{handler: handler, request: r, field: field, answer: unread{header: http.Header{}}}, nil
}

func (c *caller) send(credential string) (status int) {
	c.field[0] = credential
	clear(c.answer.header)
	c.answer.status = 0
	c.handler.ServeHTTP(&c.answer, c.request)
	return c.answer.status
}

// rotating is an operation that sends one credential after the other, and fails
// when the answer is not the one expected.
func (c *caller) rotating(credentials []string, want int) func() error {
	return rotating(c.send, credentials, want)
}

func rotating(send func(string) int, credentials []string, want int) func() error {
	next := 0
	return func() error {
		credential := credentials[next]
		if next++; next == len(credentials) {
			next = 0
		}
		if got := send(credential); got != want {
			return fmt.Errorf("status %d, want %d", got, want)
		}
		return nil
	}
}

// poster asks a token endpoint again and again.
type poster struct {
	caller
	body *strings.Reader
}

const tokenForm = "grant_type=client_credentials&scope=orders%3Aread+orders%3Awrite"

func newPoster(handler http.Handler, path string) (*poster, error) {
	body := strings.NewReader(tokenForm)
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, issuerURL+path, body)
	if err != nil {
		return nil, err
	}
	field := []string{""}
	r.RequestURI, r.RemoteAddr = path, "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Authorization"] = field
	return &poster{caller{handler: handler, request: r, field: field, answer: unread{header: http.Header{}}}, body}, nil
}

// send resets what the last handler has read of the request.
func (p *poster) send(credential string) (status int) {
	p.body.Reset(tokenForm)
	p.request.Form, p.request.PostForm, p.request.MultipartForm = nil, nil, nil
	return p.caller.send(credential)
}

// asking is rotating for a token endpoint.
func (p *poster) asking(credentials []string, want int) func() error {
	return rotating(p.send, credentials, want)
}
