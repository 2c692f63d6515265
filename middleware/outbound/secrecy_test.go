package outbound

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

const secretText = "pa55word/of+the=client"

// TestNothingSecretIsPrinted prints everything there is in every way, while servers quote
// the secret wherever they can.
func TestNothingSecretIsPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var printed []string
		see := func(values ...any) {
			mu.Lock()
			defer mu.Unlock()
			for _, v := range values {
				printed = append(printed, fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s %q %x", v, v, v))
				if text, err := json.Marshal(v); err == nil {
					printed = append(printed, string(text))
				}
				var line strings.Builder
				slog.New(slog.NewTextHandler(&line, nil)).Info("x", "v", v)
				printed = append(printed, line.String())
			}
		}
		quoting := func(r *http.Request) []*http.Response {
			basic := strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
			return []*http.Response{
				answerOf(400, fmt.Sprintf(`{"error":"x","error_description":%q}`, secretText)),
				answerOf(400, fmt.Sprintf(`{"error":%q}`, secretText)),
				answerOf(400, fmt.Sprintf(`{"error":"invalid_client","error_description":%q}`, "got "+basic)),
				answerOf(200, secretText),
				answerOf(200, fmt.Sprintf(`{"access_token":%q,"token_type":%q}`, "opaque-token", secretText)),
				answerOf(200, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%q}`, "opaque-token", secretText)),
				answerOf(302, "", "Location", "https://evil.example.com/"+url.QueryEscape(secretText)),
				answerOf(503, secretText, "Content-Type", secretText),
				answerOf(200, fmt.Sprintf(`{"error":"x","error_description":%q}`, secretText)),
				answerOf(400, fmt.Sprintf(`{"error":"x","error_description":%q}`, strings.Repeat("x", 190)+secretText)), // cut within the secret
				nil, // an error of the transport
				answerOf(200, `{"access_token":"opaque-token","token_type":"Bearer","expires_in":60}`),
			}
		}
		for i := range 12 {
			auth := roundTrip(func(r *http.Request) (*http.Response, error) {
				if res := quoting(r)[i]; res != nil {
					return res, nil
				}
				return nil, errors.New("malformed HTTP status " + secretText)
			})
			c := Config{
				TokenURL: testTokenURL, ClientID: "client", Secret: Secret(secretText), Resources: []string{testAPI},
				HTTP: &http.Client{Transport: auth}, Observe: func(_ context.Context, e Event) { see(e) },
			}
			s, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			see(c, &c)
			token, err := s.Token(t.Context())
			_, err2 := s.Client().Get(testAPI)
			see(s, reflect.ValueOf(s).Elem().Interface(), token, &token, err, err2, s.Status(), s.Transport(nil), s.Client(), s.PerRPC(), s.OAuth2(), s.For("", "x"))
			for err := err; err != nil; err = errors.Unwrap(err) {
				see(err)
			}
			if (err == nil) != (i == 11) {
				t.Errorf("answer %d: %v", i, err)
			}
			res, err := (&http.Client{Transport: s.Transport(&api{})}).Get(testAPI)
			if err == nil {
				see(res, res.Request, res.Request.Header)
			}
			see(err)
			s.Close()
		}
		forbidden := []string{secretText, secretText[:8], url.QueryEscape(secretText), "opaque-token"}
		for _, id := range []string{"client:" + secretText, "client:" + url.QueryEscape(secretText)} {
			forbidden = append(forbidden, base64.StdEncoding.EncodeToString([]byte(id)))
		}
		for _, text := range printed {
			for _, secret := range forbidden {
				if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
					t.Errorf("%q is in %s", secret, text)
				}
			}
		}
		if len(printed) < 500 {
			t.Errorf("only %d texts were printed", len(printed))
		}
	})
}

func TestTokenPrints(t *testing.T) {
	s := newSource(t, &server{}, nil)
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text := token.String(); !strings.HasPrefix(text, "token until 2") {
		t.Errorf("it prints as %q", text)
	}
	if text := (Token{}).String(); text != "no token" {
		t.Errorf("none prints as %q", text)
	}
}
