package registry

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Client)
		field  string // "" if valid
	}{
		"valid client":        {func(*Client) {}, ""},
		"special characters":  {func(c *Client) { c.ID = hard()[len(hard())-1] }, ""},
		"longest id":          {func(c *Client) { c.ID = strings.Repeat("a", 256) }, ""},
		"without anything":    {func(c *Client) { *c = Client{ID: "a"} }, ""},
		"basic":               {func(c *Client) { c.AuthMethod = "client_secret_basic" }, ""},
		"post":                {func(c *Client) { c.AuthMethod = "client_secret_post" }, ""},
		"default audience":    {func(c *Client) { c.DefaultAudience = ordersAPI }, ""},
		"no id":               {func(c *Client) { c.ID = "" }, "Client.ID"},
		"long id":             {func(c *Client) { c.ID = strings.Repeat("a", 257) }, "Client.ID"},
		"id not ASCII":        {func(c *Client) { c.ID = "ä" }, "Client.ID"},
		"id with NUL":         {func(c *Client) { c.ID = "a\x00" }, "Client.ID"},
		"id with line end":    {func(c *Client) { c.ID = "a\n" }, "Client.ID"},
		"id of a dot":         {func(c *Client) { c.ID = "." }, "Client.ID"},
		"id of two dots":      {func(c *Client) { c.ID = ".." }, "Client.ID"},
		"id with dots":        {func(c *Client) { c.ID = "../..." }, ""},
		"secret of a dot":     {func(c *Client) { c.Secrets = []Secret{{ID: ".", Hash: appStored.Hash}} }, "Client.Secrets[0].ID"},
		"secret of two dots":  {func(c *Client) { c.Secrets = []Secret{{ID: "..", Hash: appStored.Hash}} }, "Client.Secrets[0].ID"},
		"method none":         {func(c *Client) { c.AuthMethod = "none" }, "Client.AuthMethod"},
		"method unsupported":  {func(c *Client) { c.AuthMethod = "private_key_jwt" }, "Client.AuthMethod"},
		"empty scope":         {func(c *Client) { c.Scopes = []string{""} }, "Client.Scopes"},
		"two scopes in one":   {func(c *Client) { c.Scopes = []string{"a b"} }, "Client.Scopes"},
		"scope with quote":    {func(c *Client) { c.Scopes = []string{`a"`} }, "Client.Scopes"},
		"empty audience":      {func(c *Client) { c.Audiences = []string{""} }, "Client.Audiences"},
		"default not listed":  {func(c *Client) { c.DefaultAudience = billingAPI }, "Client.DefaultAudience"},
		"negative TTL":        {func(c *Client) { c.TokenTTL = -time.Second }, "Client.TokenTTL"},
		"TTL with a fraction": {func(c *Client) { c.TokenTTL = 900 }, "Client.TokenTTL"},
		"damaged secret":      {func(c *Client) { c.Secrets = []Secret{appStored, {ID: "x"}} }, "Client.Secrets[1]"},
		"metadata":            {func(c *Client) { c.Metadata = metadata(32, 64, 512) }, ""},
		"empty value":         {func(c *Client) { c.Metadata = map[string]string{"tenant": ""} }, ""},
		"much metadata":       {func(c *Client) { c.Metadata = metadata(33, 64, 512) }, "Client.Metadata"},
		"long key":            {func(c *Client) { c.Metadata = metadata(1, 65, 1) }, "Client.Metadata"},
		"long value":          {func(c *Client) { c.Metadata = metadata(1, 8, 513) }, "Client.Metadata"},
		"empty key":           {func(c *Client) { c.Metadata = map[string]string{"": "x"} }, "Client.Metadata"},
		"key with NUL":        {func(c *Client) { c.Metadata = map[string]string{"a\x00": "x"} }, "Client.Metadata"},
		"value with NUL":      {func(c *Client) { c.Metadata = map[string]string{"a": "\x00"} }, "Client.Metadata"},
		"value not UTF-8":     {func(c *Client) { c.Metadata = map[string]string{"a": "\xff"} }, "Client.Metadata"},
		"secret without ID":   {func(c *Client) { c.Secrets = []Secret{{Hash: appStored.Hash}} }, "Client.Secrets[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			c := app()
			tt.change(&c)
			err := c.Validate()
			if (err == nil) != (tt.field == "") || err != nil && !strings.HasPrefix(err.Error(), "registry: "+tt.field) {
				t.Errorf("%v", err)
			}
		})
	}
}

// metadata makes n entries of keys and values of these lengths.
func metadata(n, key, value int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("%0*d", key, i)] = strings.Repeat("x", value)
	}
	return m
}

// A clone shares nothing with the client.
func TestClone(t *testing.T) {
	c := app()
	c.Metadata, c.Introspects = map[string]string{"tenant": "a"}, []string{"b"}
	copied := c.Clone()
	if !reflect.DeepEqual(*copied, c) {
		t.Errorf("%+v, want %+v", copied, c)
	}
	copied.Metadata["tenant"], copied.Introspects[0], copied.Scopes[0], copied.Audiences[0], copied.Secrets[0].Label = "x", "x", "x", "x", "x"
	if c.Metadata["tenant"] != "a" || c.Introspects[0] != "b" || c.Scopes[0] != "orders:read" || c.Audiences[0] != ordersAPI || c.Secrets[0].Label != "" {
		t.Errorf("%+v", c)
	}
	if (*Client)(nil).Clone() != nil {
		t.Error("the copy of nil is not nil")
	}
}

// The names are those of RFC 7591, section 2, where it has them.
func TestClientJSON(t *testing.T) {
	c := Client{
		ID: "a", Name: "b", Disabled: true, Secrets: []Secret{{ID: "c", Hash: "d"}}, AuthMethod: "client_secret_basic",
		Scopes: []string{"e"}, Audiences: []string{"f"}, DefaultAudience: "f", TokenTTL: time.Minute,
		Metadata: map[string]string{"g": "h"},
	}
	text, err := json.Marshal(c)
	const want = `{"client_id":"a","client_name":"b","disabled":true,"secrets":[{"secret_id":"c","hash":"d"}],` +
		`"token_endpoint_auth_method":"client_secret_basic","scopes":["e"],"audiences":["f"],"default_audience":"f","token_ttl":60000000000,"metadata":{"g":"h"}}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
	var back Client
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, c) {
		t.Errorf("%+v, %v", back, err)
	}
}
