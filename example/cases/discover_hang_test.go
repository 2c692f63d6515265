package cases

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks"
)

func TestDiscoverHang(t *testing.T) {
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "oauth-authorization-server"):
			<-r.Context().Done()
		case strings.Contains(r.URL.Path, "openid-configuration"):
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL, s.URL+"/keys")
		default:
			fmt.Fprint(w, input(t, "jwks-same-key-twice/jwks.json"))
		}
	}))
	defer s.Close()
	r := jwks.NewIssuerRemote(s.URL, jwks.RemoteConfig{Timeout: 10 * time.Second})
	defer r.Close()
	if err := r.Ready(context.Background()); err != nil {
		t.Error(err)
	}
}
