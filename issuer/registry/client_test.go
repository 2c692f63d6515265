package registry

import (
	"fmt"
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
		"method unsupported":  {func(c *Client) { c.AuthMethod = "client_secret_jwt" }, "Client.AuthMethod"},
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
