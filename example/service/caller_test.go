package service

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoadCaller(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("secret456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const id, secret = "CLIENT_ID=myapp123", "CLIENT_SECRET=secret456"
	fromFile := "CLIENT_SECRET_FILE=" + file
	names := []string{"ISSUER", "API", "CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "SCOPE", "RESOURCE", "EVERY", "FOR"}
	load := func(t *testing.T, env []string) (Caller, error) {
		t.Helper()
		for _, name := range names {
			t.Setenv(name, "")
		}
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			t.Setenv(name, value)
		}
		return LoadCaller("http://127.0.0.1:8080")
	}
	for _, tt := range []struct {
		env  []string
		want Caller
	}{
		{[]string{id, secret}, Caller{Issuer: "http://127.0.0.1:8080", API: "http://127.0.0.1:8080/v1/whoami", ClientID: "myapp123", Secret: "secret456", Every: time.Second}},
		{
			[]string{id, fromFile, "ISSUER=https://auth.example.com/", "API=https://api.example.com/orders", "SCOPE=a  b", "RESOURCE=urn:orders", "EVERY=50ms", "FOR=1m"},
			Caller{
				Issuer: "https://auth.example.com/", API: "https://api.example.com/orders", ClientID: "myapp123", SecretFile: file,
				Scopes: []string{"a", "b"}, Resource: "urn:orders", Every: 50 * time.Millisecond, For: time.Minute,
			},
		},
	} {
		got, err := load(t, tt.env)
		if len(got.Scopes) == 0 {
			got.Scopes = nil
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, %v, want %+v", tt.env, got, err, tt.want)
		}
	}
	for says, env := range map[string][]string{
		"CLIENT_ID is not set":      {secret},
		"CLIENT_SECRET is not set":  {id},
		"both set":                  {id, secret, fromFile},
		"CLIENT_SECRET_FILE: stat":  {id, "CLIENT_SECRET_FILE=" + file + "x"},
		`ISSUER="auth.example.com"`: {id, secret, "ISSUER=auth.example.com"},
		"ISSUER has a user":         {id, secret, "ISSUER=https://user:password@auth.example.com"},
		`API="/v1/orders": write a URL such as https://api.example.com/orders`: {id, secret, "API=/v1/orders"},
		`RESOURCE="orders"`: {id, secret, "RESOURCE=orders"},
		`EVERY="soon"`:      {id, secret, "EVERY=soon"},
		`EVERY="0s"`:        {id, secret, "EVERY=0s"},
		`FOR="-1s"`:         {id, secret, "FOR=-1s"},
	} {
		if _, err := load(t, env); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "password") {
			t.Errorf("%q: %v, want it to say %s", env, err, says)
		}
	}
	if _, err := load(t, []string{id, secret, "ISSUER=127.0.0.1:8080"}); err == nil || strings.Contains(err.Error(), "API") {
		t.Errorf("API is not set, and the error is %v", err)
	}
	if _, err := load(t, []string{"EVERY=x", "FOR=y"}); err == nil || strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("the error names not all that is wrong: %v", err)
	}
}
