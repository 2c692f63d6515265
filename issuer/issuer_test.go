package issuer

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
)

func TestNewRefuses(t *testing.T) {
	good := Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: newStore(t)}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	open := func(policy jwks.Policy) *jwks.Keyring {
		keys, err := jwks.Open(t.Context(), &memoryKeys{}, policy)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	minute := open(jwks.Policy{Retain: time.Minute, Skew: time.Second})
	hour := open(jwks.Policy{Retain: time.Hour})
	for name, tt := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"no issuer":                {func(c *Config) { c.Issuer = "" }, "Config.Issuer"},
		"issuer without scheme":    {func(c *Config) { c.Issuer = "auth.example.com" }, "Config.Issuer"},
		"issuer without host":      {func(c *Config) { c.Issuer = "https:///a" }, "Config.Issuer"},
		"issuer only a port":       {func(c *Config) { c.Issuer = "https://:443" }, "Config.Issuer"},
		"opaque issuer":            {func(c *Config) { c.Issuer = "https:auth.example.com" }, "Config.Issuer"},
		"issuer with query":        {func(c *Config) { c.Issuer += "?a" }, "Config.Issuer"},
		"issuer with empty query":  {func(c *Config) { c.Issuer += "?" }, "Config.Issuer"},
		"issuer with fragment":     {func(c *Config) { c.Issuer += "#a" }, "Config.Issuer"},
		"issuer with user":         {func(c *Config) { c.Issuer = "https://me@auth.example.com" }, "Config.Issuer"},
		"issuer of http":           {func(c *Config) { c.Issuer = "http://auth.example.com" }, "Config.Issuer"},
		"issuer like loopback":     {func(c *Config) { c.Issuer = "http://127.0.0.1.example.com" }, "Config.Issuer"},
		"issuer of ftp":            {func(c *Config) { c.Issuer, c.InsecureHTTP = "ftp://auth.example.com", true }, "Config.Issuer"},
		"issuer with line end":     {func(c *Config) { c.Issuer += "\n" }, "Config.Issuer"},
		"issuer with a space":      {func(c *Config) { c.Issuer += "/a " }, "Config.Issuer"},
		"issuer of Echo's pattern": {func(c *Config) { c.Issuer += "/:a" }, "Config.Issuer"},
		"issuer with a star":       {func(c *Config) { c.Issuer += "/*" }, "Config.Issuer"},
		"no keys":                  {func(c *Config) { c.Keys = nil }, "Config.Keys"},
		"no store":                 {func(c *Config) { c.Store = nil }, "Config.Store"},
		"nil memory store":         {func(c *Config) { c.Store = (*registry.Memory)(nil) }, "Config.Store"},
		"nil store of a test":      {func(c *Config) { c.Store = (*watched)(nil) }, "Config.Store"},
		"relative token path":      {func(c *Config) { c.TokenPath = "token" }, "Config.TokenPath"},
		"token path with query":    {func(c *Config) { c.TokenPath = "/token?a" }, "Config.TokenPath"},
		"token path with fragment": {func(c *Config) { c.TokenPath = "/token#a" }, "Config.TokenPath"},
		"token path of a pattern":  {func(c *Config) { c.TokenPath = "/:token" }, "Config.TokenPath"},
		"token path with a star":   {func(c *Config) { c.TokenPath = "/*" }, "Config.TokenPath"},
		"token path with escapes":  {func(c *Config) { c.TokenPath = "/%74oken" }, "Config.TokenPath"},
		"token path with space":    {func(c *Config) { c.TokenPath = "/token " }, "Config.TokenPath"},
		"token path in use":        {func(c *Config) { c.TokenPath = "/revoke" }, "Config.TokenPath"},
		"token path of the keys":   {func(c *Config) { c.TokenPath = "/.well-known/jwks.json" }, "Config.TokenPath"},
		"short lag":                {func(c *Config) { c.MaxRevocationLag = time.Second }, "Config.MaxRevocationLag"},
		"negative lag":             {func(c *Config) { c.MaxRevocationLag = -time.Minute }, "Config.MaxRevocationLag"},
		"negative TTL":             {func(c *Config) { c.TokenTTL = -time.Minute }, "Config.TokenTTL"},
		"TTL of milliseconds":      {func(c *Config) { c.TokenTTL = 900 * time.Millisecond }, "Config.TokenTTL"},
		"TTL meant in seconds":     {func(c *Config) { c.TokenTTL = 900 }, "Config.TokenTTL"},
		"TTL with a fraction":      {func(c *Config) { c.TokenTTL = 1500 * time.Millisecond }, "Config.TokenTTL"},
		"MaxTTL below":             {func(c *Config) { c.MaxTokenTTL = time.Minute }, "Config.MaxTokenTTL"},
		"negative MaxTTL":          {func(c *Config) { c.MaxTokenTTL = -1 }, "Config.MaxTokenTTL"},
		"TTL outlives keys":        {func(c *Config) { c.Keys = minute }, "jwks.Policy.Retain"},
		"TTL + skew outlives keys": {func(c *Config) { c.Keys, c.TokenTTL = minute, time.Minute }, "jwks.Policy.Retain"},
		"MaxTTL outlives keys":     {func(c *Config) { c.Keys, c.MaxTokenTTL = hour, 2*time.Hour }, "jwks.Policy.Retain"},
		"MaxTTL + skew too":        {func(c *Config) { c.Keys, c.MaxTokenTTL = hour, time.Hour }, "jwks.Policy.Retain"},
		"two scopes in one":        {func(c *Config) { c.Resources = map[string][]string{ordersAPI: {"a b"}} }, "Config.Resources"},
		"empty scope":              {func(c *Config) { c.Resources = map[string][]string{ordersAPI: {""}} }, "Config.Resources"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			i, err := New(c)
			if i != nil || err == nil || !strings.HasPrefix(err.Error(), "issuer: ") || !strings.Contains(err.Error(), tt.field) {
				t.Errorf("New gives an issuer: %t, error %v", i != nil, err)
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	good := Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: newStore(t)}
	for name, change := range map[string]func(*Config){
		"IPv4 loopback":   func(c *Config) { c.Issuer = "http://127.0.0.1:8080" },
		"other loopback":  func(c *Config) { c.Issuer = "http://127.1.2.3" },
		"IPv6 loopback":   func(c *Config) { c.Issuer = "http://[::1]:8080" },
		"localhost":       func(c *Config) { c.Issuer = "http://localhost:8080/a" },
		"http, insecure":  func(c *Config) { c.Issuer, c.InsecureHTTP = "http://auth:8080", true },
		"port and path":   func(c *Config) { c.Issuer = "https://auth.example.com:8443/realms/a-b_c.d~e" },
		"escaped path":    func(c *Config) { c.Issuer = "https://auth.example.com/a%20b" },
		"empty resources": func(c *Config) { c.Resources = map[string][]string{} },
		"TTL of a second": func(c *Config) { c.TokenTTL = time.Second },
	} {
		c := good
		change(&c)
		if _, err := New(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without MaxTokenTTL the longest lifetime is what the keys cover.
func TestLifetimeWithinRetain(t *testing.T) {
	for _, tt := range []struct {
		retain, skew, ttl, want time.Duration
	}{
		{24 * time.Hour, time.Minute, 0, time.Hour},
		{24 * time.Hour, time.Minute, 3 * time.Hour, 3 * time.Hour},
		{30 * time.Minute, time.Minute, 0, 29 * time.Minute},
		{15*time.Minute + 1500*time.Millisecond, time.Second, 0, 15 * time.Minute},
		{11 * time.Second, time.Second, 10 * time.Second, 10 * time.Second},
	} {
		keys, err := jwks.Open(t.Context(), &memoryKeys{}, jwks.Policy{Retain: tt.retain, Skew: tt.skew})
		if err != nil {
			t.Fatal(err)
		}
		c := app()
		c.TokenTTL = 1000 * time.Hour
		s := newService(t, Config{Keys: keys, TokenTTL: tt.ttl}, c)
		if got := s.wantToken(t, s.post(appForm)).answer.ExpiresIn; got != int64(tt.want/time.Second) {
			t.Errorf("%v + %v, %v: %d s, want %v", tt.retain, tt.skew, tt.ttl, got, tt.want)
		}
		if err := keys.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// New copies the maps, so later changes by the caller have no effect.
func TestNewCopies(t *testing.T) {
	resources := map[string][]string{ordersAPI: {"orders:read"}}
	s := newService(t, Config{Resources: resources})
	resources[ordersAPI][0] = "orders:write"
	resources[billingAPI] = nil
	if got := s.wantToken(t, s.post(appForm)).scope(t); got != "orders:read" {
		t.Errorf("scope %q", got)
	}
	if metadata := s.get("GET", metadataPath).Body.String(); !strings.Contains(metadata, `"scopes_supported":["orders:read"]`) || strings.Contains(metadata, billingAPI) {
		t.Errorf("metadata %s", metadata)
	}
}

// Granting and refusing work without Observe.
func TestWithoutObserve(t *testing.T) {
	i, err := New(Config{Issuer: testIssuer, Keys: newKeyring(t, ecKey), Store: newStore(t, app())})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for body, status := range map[string]int{appForm: 200, appForm + "&scope=x": 400, "": 400, appForm + "x": 401} {
		w := httptest.NewRecorder()
		if i.Handler().ServeHTTP(w, newForm("/token", body)); w.Code != status {
			t.Errorf("status %d, want %d", w.Code, status)
		}
	}
}
