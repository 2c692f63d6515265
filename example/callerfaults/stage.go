package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// stage is what one library meets with one fault: a token endpoint, an API, another host
// and the file with the client's secret.
type stage struct {
	library library
	auth    *tokenEndpoint
	api     *api
	other   *otherHost
	dir     string
	closers []func()
}

const (
	clientID = "client"
	secret   = "first-secret"
)

func newStage(l library) (*stage, error) {
	dir, err := os.MkdirTemp("", "callerfaults")
	if err != nil {
		return nil, err
	}
	s := &stage{library: l, auth: newTokenEndpoint(), api: newAPI(), other: newOtherHost(), dir: dir}
	if err := s.writeSecret(secret); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close releases the requests that hang, and ends everything.
func (s *stage) close() {
	s.auth.release()
	for _, end := range s.closers {
		end()
	}
	s.auth.Close()
	s.api.Close()
	s.other.Close()
	_ = os.RemoveAll(s.dir) // of the system's temporary files
}

func (s *stage) secretFile() string { return filepath.Join(s.dir, "secret") }

// writeSecret replaces the client's secret.
func (s *stage) writeSecret(text string) error {
	next := s.secretFile() + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.secretFile())
}

// open makes a client. It is closed with the stage.
func (s *stage) open(ctx context.Context) (*caller, error) { return s.openAt(ctx, "/token") }

// openAt makes a client that uses a path of the token endpoint.
func (s *stage) openAt(ctx context.Context, path string) (*caller, error) {
	c, err := s.library.open(ctx, setup{tokenURL: s.auth.URL + path, api: s.api.URL, secretFile: s.secretFile()})
	if err == nil {
		s.closers = append(s.closers, c.close)
	}
	return c, err
}

// call sends one request to the API, and returns its status.
func (s *stage) call(ctx context.Context, c *caller, path string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.api.URL+path, http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

var errNoStart = errors.New("the first call fails, so there is nothing to compare")

// start makes a client and calls the API once. That has to work.
func (s *stage) start(ctx context.Context) (*caller, error) {
	c, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	if status, err := s.call(ctx, c, "/"); err != nil || status != http.StatusOK {
		return nil, errors.Join(errNoStart, err)
	}
	return c, nil
}

// sleep waits, unless the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
