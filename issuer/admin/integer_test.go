package admin_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/echo-m2m/m2m/issuer/admin"
)

// A whole number is taken in every spelling of JSON, wherever the API reads one.
func TestNumberSpellings(t *testing.T) {
	o := newOffice(t)
	const base = "/console/clients"
	for n, spelling := range []string{"300", "300.0", "3e2", "3E+2", "0.3e3", "30000e-2", "300.000e0"} {
		body := fmt.Sprintf(`{"client_id":"c%d","audiences":["https://api.example.com"],"token_ttl":%s,"version":0e5,"client_secret_expires_at":-0.0}`, n, spelling)
		if got := o.do("POST", base, body, 201); got["token_ttl"] != 300.0 {
			t.Errorf("%s: %v", spelling, got)
		}
	}
	got := o.do("GET", base+"/c0", "", 200)
	put, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	issued := fmt.Sprintf("%.0f", got["client_id_issued_at"])
	changed := strings.NewReplacer(`"version":1`, `"version":10e-1`, `"client_id_issued_at":`+issued, `"client_id_issued_at":`+issued+".0").Replace(string(put))
	if changed == string(put) {
		t.Fatal(changed)
	}
	o.do("PUT", base+"/c0", changed, 200)
	o.do("POST", base+"/c0/secrets", `{"overlap":3.6e3}`, 201)
	o.do("POST", base+"/c0/secrets", `{"overlap":0.0,"revoke":true}`, 201)
	o.do("POST", base, `{"token_ttl":null,"client_secret_expires_at":null}`, 201)
	for _, wrong := range []string{"300.5", "3e-1", "1e99999999999999999999", "1e-99999999999999999999", "9223372036854775808", "9.3e18", "-1", "-3e2", "1e8", "true", `"300"`, "[300]", "{}"} {
		for path, member := range map[string]string{"": "token_ttl", "/c1/secrets": "overlap"} {
			if got := o.do("POST", base+path, `{"`+member+`":`+wrong+`}`, 400); !strings.Contains(fmt.Sprint(got["error_description"]), member) {
				t.Errorf("%s %s: %v", member, wrong, got)
			}
		}
	}
	for _, wrong := range []string{"03", "3.", ".3", "+3", "3e", "0x3", "NaN"} {
		o.do("POST", base, `{"token_ttl":`+wrong+`}`, 400)
	}
	records, err := admin.ReadRecords([]byte(`[{"client_id":"a","token_ttl":3e2,"version":9.223372036854775807E18}]`))
	if err != nil || records[0].Client.TokenTTL.Seconds() != 300 {
		t.Errorf("%+v, %v", records, err)
	}
	if _, err := admin.ReadRecords(fmt.Appendf(nil, `[{"client_id":"a","version":%d}]`, uint64(math.MaxInt64)+1)); err == nil {
		t.Error("too large a version was read")
	}
}
