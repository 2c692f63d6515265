package admin_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/admin"
	"github.com/echo-m2m/m2m/issuer/registry"
)

func TestReadRecords(t *testing.T) {
	got, err := admin.ReadRecords([]byte(`[
		{"client_id":"a b","client_secret":"secret 456","client_name":"A","scope":"orders:read orders:write","audiences":["https://api.example.com"],
		 "default_audience":"https://api.example.com","token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials"],
		 "introspects":["*"],"token_ttl":60,"metadata":{"tenant":"acme","Any Case":""},"disabled":true,"version":7},
		{"client_id":"b","client_secret_expires_at":0}
	]`))
	want := []admin.Record{
		{Client: registry.Client{
			ID: "a b", Name: "A", Scopes: []string{"orders:read", "orders:write"}, Audiences: []string{"https://api.example.com"},
			DefaultAudience: "https://api.example.com", AuthMethod: "client_secret_basic", Introspects: []string{"*"}, TokenTTL: time.Minute, Disabled: true,
			Metadata: map[string]string{"tenant": "acme", "Any Case": ""},
		}, Secret: "secret 456"},
		{Client: registry.Client{ID: "b"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := admin.ReadRecords([]byte(`[]`)); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestReadRecordsRefuses(t *testing.T) {
	for doc, why := range map[string]string{
		"":                                      "JSON array",
		"{}":                                    "JSON array",
		`[{"client_id":"a"}] []`:                "JSON array",
		`null`:                                  "JSON array",
		`[null]`:                                "record 1",
		`[["a"]]`:                               "record 1",
		`[{}]`:                                  "client_id: ",
		`[{"client_id":"a"},{"client_id":"a"}]`: "record 2",
		`[{"client_id":"a","client_id":"b"}]`:   "unique names",
		`[{"client_id":"a","Client_secret":"b"}]`:                                       "unknown member",
		`[{"client_id":"a","client_\u017fecret":"b"}]`:                                  "unknown member",
		`[{"client_id":"a","secret":"b"}]`:                                              "unknown member",
		`[{"client_id":"a","secrets":[]}]`:                                              "client_secret",
		`[{"client_id":"a","client_secret":"ä"}]`:                                       "client_secret",
		`[{"client_id":"a","client_secret":"b","client_secret_expires_at":1700000000}]`: "client_secret_expires_at",
		`[{"client_id":"a","client_secret":"b","label":"c"}]`:                           "label: ",
		`[{"client_id":"a","token_ttl":-1}]`:                                            "token_ttl",
		`[{"client_id":"a","scope":"a  b"}]`:                                            "scope",
		`[{"client_id":"a","grant_types":["x"]}]`:                                       "grant_types",
		`[{"client_id":"a","metadata":{"x":"a","x":"b"}}]`:                              "unique names",
		`[{"client_id":"a","metadata":{"x":1}}]`:                                        "record 1",
		`[{"client_id":"a","metadata":{"":"x"}}]`:                                       "metadata: ",
		`[{"client_id":7}]`:                                                             "record 1",
	} {
		records, err := admin.ReadRecords([]byte(doc))
		if records != nil || err == nil || !strings.HasPrefix(err.Error(), "admin: ") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, %v, want an error about %s", doc, records, err, why)
		}
	}
}
