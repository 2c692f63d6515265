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
		field  string // "" is fine
	}{
		"token":                 {Change{Kind: TokenRevoked, TokenID: "a", ExpiresAt: later}, ""},
		"token of a client":     {Change{Kind: TokenRevoked, TokenID: "a", ClientID: "c", ExpiresAt: later}, ""},
		"cut-off":               {CutOff("c", time.Now(), 0), ""},
		"cut-off long ago":      {Change{Kind: ClientCutOff, ClientID: "c", NotBefore: time.Unix(0, 0), ExpiresAt: later}, ""},
		"changed":               {Change{Kind: ClientChanged, ClientID: "c", ExpiresAt: later}, ""},
		"longest":               {Change{Kind: TokenRevoked, TokenID: strings.Repeat("é", 256), ClientID: strings.Repeat("x", 256), ExpiresAt: later}, ""},
		"no kind":               {Change{TokenID: "a", ExpiresAt: later}, "Kind"},
		"unknown kind":          {Change{Kind: 9, TokenID: "a", ExpiresAt: later}, "Kind"},
		"nothing":               {Change{}, "Kind"},
		"token without jti":     {Change{Kind: TokenRevoked, ClientID: "c", ExpiresAt: later}, "TokenID"},
		"cut-off of nobody":     {Change{Kind: ClientCutOff, NotBefore: later, ExpiresAt: later}, "ClientID"},
		"cut-off of a token":    {Change{Kind: ClientCutOff, ClientID: "c", TokenID: "a", NotBefore: later, ExpiresAt: later}, "TokenID"},
		"cut-off without time":  {Change{Kind: ClientCutOff, ClientID: "c", ExpiresAt: later}, "NotBefore"},
		"change with a time":    {Change{Kind: ClientChanged, ClientID: "c", NotBefore: later, ExpiresAt: later}, "NotBefore"},
		"change with a token":   {Change{Kind: ClientChanged, ClientID: "c", TokenID: "a", ExpiresAt: later}, "TokenID"},
		"change of nobody":      {Change{Kind: ClientChanged, ExpiresAt: later}, "ClientID"},
		"token with a time":     {Change{Kind: TokenRevoked, TokenID: "a", NotBefore: later, ExpiresAt: later}, "NotBefore"},
		"without expiry":        {Change{Kind: TokenRevoked, TokenID: "a"}, "ExpiresAt"},
		"too long":              {Change{Kind: TokenRevoked, TokenID: strings.Repeat("x", 513), ExpiresAt: later}, "TokenID"},
		"NUL":                   {Change{Kind: TokenRevoked, TokenID: "\x00", ExpiresAt: later}, "TokenID"},
		"client id not UTF-8":   {Change{Kind: ClientChanged, ClientID: "\xff", ExpiresAt: later}, "TokenID and ClientID"},
		"client id is too long": {Change{Kind: ClientChanged, ClientID: strings.Repeat("x", 513), ExpiresAt: later}, "TokenID and ClientID"},
	} {
		err := tt.change.Validate()
		if (err == nil) != (tt.field == "") || err != nil && !strings.HasPrefix(err.Error(), "registry: Change."+tt.field) {
			t.Errorf("%s: %v, want an error about %q", name, err, tt.field)
		}
	}
}

// A cut-off outlives the tokens it is about, however long those live.
func TestCutOff(t *testing.T) {
	now := time.Now()
	const day = 24 * time.Hour
	for ttl, want := range map[time.Duration]time.Duration{0: 90 * day, time.Hour: 90 * day, 100 * day: 100 * day} {
		c := CutOff("c", now, ttl)
		if c.Kind != ClientCutOff || c.ClientID != "c" || !c.NotBefore.Equal(now) || c.ExpiresAt.Sub(now) < want || c.ExpiresAt.Sub(now) > want+time.Hour {
			t.Errorf("%v: %+v", ttl, c)
		}
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[Kind]string{0: "kind 0", TokenRevoked: "token revoked", ClientCutOff: "client cut off", ClientChanged: "client changed", 9: "kind 9"} {
		if got := kind.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
