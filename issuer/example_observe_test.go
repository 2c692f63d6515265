package issuer_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Every request is logged with slog. The client gets the public error. Only the log has
// the reason and the private cause. event.Log does this for slog.Default.
func ExampleConfig_observe() {
	if err := observedRequest(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// level=WARN msg="token request" client=nobody claimed=true status=401 reason=unknown_client cause="issuer: no such client"
}

func observeWith(log *slog.Logger) func(context.Context, issuer.Event) {
	return func(ctx context.Context, e issuer.Event) {
		level := slog.LevelInfo
		if e.Reason != "" {
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "token request", "client", e.ClientID, "claimed", e.Claimed, "status", e.Status, "reason", e.Reason, "cause", e.Err)
	}
}

func observedRequest() error {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	key, err := jose.Generate("ES256")
	if err != nil {
		return err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return err
	}
	store, err := registry.NewMemory()
	if err != nil {
		return err
	}
	iss, err := issuer.New(issuer.Config{Issuer: "https://auth.example.com", Keys: keys, Store: store, Observe: observeWith(log)})
	if err != nil {
		return err
	}
	defer iss.Close()
	plain, _ := registry.GenerateSecret()
	request := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials"))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("nobody", plain)
	iss.Handler().ServeHTTP(httptest.NewRecorder(), request)
	return nil
}
