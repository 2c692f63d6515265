package registry

import (
	"strings"
	"testing"
	"time"
)

func TestChangeValidate(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		change Change
		field  string // "" if valid
	}{
		"token":                 {Change{Kind: TokenRevoked, TokenID: "a", ExpiresAt: later}, ""},
		"token of a client":     {Change{Kind: TokenRevoked, TokenID: "a", ClientID: "c", ExpiresAt: later}, ""},
		"cut-off":               {CutOff("c"), ""},
		"cut-off of a secret":   {Change{Kind: SecretCutOff, ClientID: "c", SecretID: "s"}, ""},
		"cut-off of all":        {Change{Kind: AllCutOff}, ""},
		"changed":               {Change{Kind: ClientChanged, ClientID: "c"}, ""},
		"changed, with expiry":  {Change{Kind: ClientChanged, ClientID: "c", ExpiresAt: later}, ""},
		"longest":               {Change{Kind: TokenRevoked, TokenID: strings.Repeat("é", 256), ClientID: strings.Repeat("x", 256), ExpiresAt: later}, ""},
		"no kind":               {Change{TokenID: "a", ExpiresAt: later}, "Kind"},
		"unknown kind":          {Change{Kind: 9, TokenID: "a", ExpiresAt: later}, "Kind"},
		"nothing":               {Change{}, "Kind"},
		"token without jti":     {Change{Kind: TokenRevoked, ClientID: "c", ExpiresAt: later}, "TokenID"},
		"token of a secret":     {Change{Kind: TokenRevoked, TokenID: "a", ClientID: "c", SecretID: "s", ExpiresAt: later}, "SecretID"},
		"cut-off, no client":    {Change{Kind: ClientCutOff}, "ClientID"},
		"cut-off of a token":    {Change{Kind: ClientCutOff, ClientID: "c", TokenID: "a"}, "TokenID"},
		"cut-off with a secret": {Change{Kind: ClientCutOff, ClientID: "c", SecretID: "s"}, "SecretID"},
		"secret, no client":     {Change{Kind: SecretCutOff, SecretID: "s"}, "ClientID"},
		"no secret":             {Change{Kind: SecretCutOff, ClientID: "c"}, "SecretID"},
		"all of a client":       {Change{Kind: AllCutOff, ClientID: "c"}, "ClientID"},
		"all of a secret":       {Change{Kind: AllCutOff, SecretID: "s"}, "SecretID"},
		"change with a token":   {Change{Kind: ClientChanged, ClientID: "c", TokenID: "a"}, "TokenID"},
		"change, no client":     {Change{Kind: ClientChanged}, "ClientID"},
		"without expiry":        {Change{Kind: TokenRevoked, TokenID: "a"}, "ExpiresAt"},
		"too long":              {Change{Kind: TokenRevoked, TokenID: strings.Repeat("x", 513), ExpiresAt: later}, "TokenID"},
		"NUL":                   {Change{Kind: TokenRevoked, TokenID: "\x00", ExpiresAt: later}, "TokenID"},
		"NUL in a secret id":    {Change{Kind: SecretCutOff, ClientID: "c", SecretID: "\x00"}, "SecretID"},
		"client id not UTF-8":   {Change{Kind: ClientChanged, ClientID: "\xff"}, "ClientID"},
		"client id is too long": {Change{Kind: ClientChanged, ClientID: strings.Repeat("x", 513)}, "ClientID"},
	} {
		err := tt.change.Validate()
		if (err == nil) != (tt.field == "") || err != nil && !strings.HasPrefix(err.Error(), "registry: Change."+tt.field) {
			t.Errorf("%s: %v, want an error about %q", name, err, tt.field)
		}
	}
}

// A cut-off stays in the feed longer than the tokens that it revokes are valid.
func TestKindLifetime(t *testing.T) {
	for kind := range ClientChanged + 2 {
		switch got := kind.Lifetime(); kind {
		case ClientCutOff, SecretCutOff, AllCutOff:
			if got != CutOffLifetime || got <= MaxTokenLifetime {
				t.Errorf("%v: %v", kind, got)
			}
		case ClientChanged:
			if got < 10*time.Minute || got > 24*time.Hour {
				t.Errorf("%v: %v", kind, got)
			}
		default:
			if got != 0 {
				t.Errorf("%v: %v", kind, got)
			}
		}
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[Kind]string{0: "kind 0", TokenRevoked: "token revoked", ClientCutOff: "client cut off", SecretCutOff: "secret cut off", AllCutOff: "all cut off", ClientChanged: "client changed", 9: "kind 9"} {
		if got := kind.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
