package outbound

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// form makes the request, with the client's authentication (RFC 6749, section 2.3.1; RFC
// 7521, section 4.2; RFC 8705, section 2).
func (f *fetcher) form(ctx context.Context, endpoint string, a attempt, w *want) (*http.Request, error) {
	c := f.config
	form := url.Values{"grant_type": {"client_credentials"}}
	maps.Copy(form, c.Params)
	if len(w.scopes) > 0 {
		form.Set("scope", strings.Join(w.scopes, " "))
	}
	if len(w.resources) > 0 {
		form["resource"] = w.resources
	}
	switch {
	case a.assertion != "":
		form.Set("client_id", c.ClientID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", a.assertion)
	case a.secret == "": // the certificate tells
		form.Set("client_id", c.ClientID)
	case c.Method == methodPost:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", a.secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("outbound: %w", err)
	}
	fetch.LimitResends(r)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if a.proof != "" {
		r.Header.Set("DPoP", a.proof)
	}
	switch {
	case a.secret == "" || c.Method == methodPost:
	case c.RawBasic:
		r.SetBasicAuth(c.ClientID, a.secret)
	default:
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(a.secret))
	}
	return r, nil
}
