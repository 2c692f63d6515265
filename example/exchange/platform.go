package exchange

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/echo-m2m/m2m/jwks"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// Platform is an issuer of the tokens of workloads, with a published key set.
type Platform struct {
	URL    string // the iss of its tokens
	dir    string
	keys   *jwks.Keyring
	server *http.Server
}

// StartPlatform starts a platform on a free port.
func StartPlatform() (*Platform, error) {
	key, err := jose.Generate("ES256")
	if err != nil {
		return nil, err
	}
	keys, err := jwks.NewKeyring(key)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "m2m-platform")
	if err != nil {
		return nil, err
	}
	p := &Platform{URL: "http://" + listener.Addr().String(), dir: dir, keys: keys}
	mux := http.NewServeMux()
	mux.Handle("/openid/v1/jwks", keys)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/openid/v1/jwks"}) // a caller that left misses nothing
	})
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go p.server.Serve(listener) //nolint:errcheck // it ends with Close
	return p, nil
}

// Close ends the platform and removes the files of MountToken.
func (p *Platform) Close() {
	_ = p.server.Close() // the program ends
	_ = os.RemoveAll(p.dir)
}

// MountToken writes a token for an audience to a file, as the kubelet does, and returns its
// path. The kubelet also renews it.
func (p *Platform) MountToken(ctx context.Context, subject, audience string) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": p.URL, "sub": subject, "aud": []string{audience}, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	token, err := p.keys.Sign(ctx, "JWT", claims)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.dir, "token-"+rand.Text())
	return path, os.WriteFile(path, []byte(token), 0o600)
}
