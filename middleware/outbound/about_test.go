package outbound

import (
	"errors"
	"strings"
	"testing"
)

// A refusal of a scope or a resource says which one was asked for: the server's text mostly
// does not.
func TestRefusalsNameWhatWasAsked(t *testing.T) {
	for name, test := range map[string]struct {
		code          string
		status        int
		scopes        []string
		bare          bool // no resources
		say, doNotSay string
	}{
		"target":             {"invalid_target", 400, nil, false, `400 invalid_target for the resources "https://api.example.com": not this`, "scope"},
		"target, status 200": {"invalid_target", 200, nil, false, `invalid_target for the resources "https://api.example.com"`, "scope"},
		"target, none asked": {"invalid_target", 400, nil, true, "400 invalid_target: not this", " for "},
		"scope":              {"invalid_scope", 400, []string{"a", "b"}, false, `400 invalid_scope for the scopes "a", "b": not this`, "resource"},
		"scope, none asked":  {"invalid_scope", 400, nil, false, "400 invalid_scope: not this", " for "},
		"another":            {"invalid_request", 400, []string{"a"}, false, "400 invalid_request: not this", " for "},
	} {
		s := newSource(t, &server{answer: alwaysAnswer(test.status, `{"error":"`+test.code+`","error_description":"not this"}`)}, func(c *Config) {
			if c.Scopes = test.scopes; test.bare {
				c.Resources = nil
			}
		})
		_, err := s.Token(t.Context())
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != test.code || e.Description != "not this" {
			t.Errorf("%s: %#v", name, err)
		}
		if err == nil || !strings.Contains(err.Error(), test.say) || strings.Contains(err.Error(), test.doNotSay) {
			t.Errorf("%s: %v, want %s", name, err, test.say)
		}
	}
}
