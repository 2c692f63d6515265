//go:build ignore

// Command mcp_client is an MCP client with package outbound, for the client scenarios of
// npm @modelcontextprotocol/conformance. That starts it with the server's URL as its last
// argument and the credentials in MCP_CONFORMANCE_CONTEXT, and judges what it sends.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/middleware/outbound"
)

const protocol = "2025-11-25"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var credentials struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		PrivateKey   string `json:"private_key_pem"`
		Algorithm    string `json:"signing_algorithm"`
	}
	must(json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &credentials))
	server := os.Args[len(os.Args)-1]
	about, err := discover(ctx, server)
	must(err)
	config := outbound.Config{
		Issuer:    about.AuthorizationServers[0],
		ClientID:  credentials.ClientID,
		Resources: []string{about.Resource},
	}
	if credentials.PrivateKey == "" {
		config.Secret = outbound.Secret(credentials.ClientSecret)
	} else {
		config.Assertion = outbound.PrivateKeyJWT(privateKey([]byte(credentials.PrivateKey)), credentials.Algorithm, "")
	}
	source, err := outbound.New(config)
	must(err)
	s := session{source.Client(), server}
	_, err = s.call(ctx, 1, "initialize", map[string]any{
		"protocolVersion": protocol,
		"capabilities":    map[string]any{},
		"clientInfo":      map[string]any{"name": "m2m-interop", "version": "1"},
	})
	must(err)
	_, err = s.call(ctx, 0, "notifications/initialized", nil)
	must(err)
	tools, err := s.call(ctx, 2, "tools/list", nil)
	must(err)
	check("the list of tools has one", strings.Contains(tools, `"test-tool"`), true)
	check("token requests", source.Status().Fetches, uint64(1))
	must(source.Close())
}

// privateKey reads a key in PEM form (PKCS #8).
func privateKey(text []byte) crypto.Signer {
	block, _ := pem.Decode(text)
	if block == nil {
		must(errors.New("the private key is not in PEM form"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(err)
	return key.(crypto.Signer)
}

// protected is the metadata of a protected resource (RFC 9728, section 2).
type protected struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
}

var metadataURL = regexp.MustCompile(`resource_metadata="([^"]+)"`)

// discover reads the metadata that the challenge of a request without a token names.
func discover(ctx context.Context, server string) (*protected, error) {
	refused, err := post(ctx, http.DefaultClient, server, 1, "initialize", map[string]any{"protocolVersion": protocol})
	if err != nil {
		return nil, err
	}
	defer refused.Body.Close()
	named := metadataURL.FindStringSubmatch(refused.Header.Get("WWW-Authenticate"))
	if refused.StatusCode != http.StatusUnauthorized || named == nil {
		return nil, fmt.Errorf("no challenge that names metadata: %s", refused.Status)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, named[1], http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	about := &protected{}
	if err := json.NewDecoder(answer.Body).Decode(about); err != nil {
		return nil, err
	}
	if about.Resource != server || len(about.AuthorizationServers) == 0 {
		return nil, errors.New("the metadata is of another resource, or names no authorization server")
	}
	return about, nil
}

// session is a connection to an MCP server.
type session struct {
	client *http.Client
	server string
}

// call sends a JSON-RPC message, and returns the answer as text.
func (s session) call(ctx context.Context, id int, method string, params any) (string, error) {
	answer, err := post(ctx, s.client, s.server, id, method, params)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s: %s", method, answer.Status, text)
	}
	return string(text), err
}

// post sends a message. One with the id 0 is a notification.
func post(ctx context.Context, client *http.Client, server string, id int, method string, params any) (*http.Response, error) {
	message := map[string]any{"jsonrpc": "2.0", "method": method}
	if id != 0 {
		message["id"] = id
	}
	if params != nil {
		message["params"] = params
	}
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	if method != "initialize" {
		request.Header.Set("MCP-Protocol-Version", protocol)
	}
	return client.Do(request)
}
