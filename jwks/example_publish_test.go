package jwks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/echo-m2m/m2m/jwks"
)

// A keyring is the handler of the key set that it publishes. Here are the key that signs
// and the next one. Cache-Control follows the timetable, and an ETag saves the body.
func ExampleKeyring_ServeHTTP() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keys, err := jwks.Open(context.Background(), jwks.File(filepath.Join(dir, "keys.json")), jwks.Policy{Quiet: true})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/jwks.json", keys)

	answer := getSet(mux, "")
	var set struct {
		Keys []struct {
			Algorithm string `json:"alg"`
			Private   string `json:"d"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &set); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"), answer.Header().Get("Cache-Control"))
	for _, key := range set.Keys {
		fmt.Printf("%s %q\n", key.Algorithm, key.Private)
	}
	fmt.Println(getSet(mux, answer.Header().Get("ETag")).Code)
	// Output:
	// 200 application/jwk-set+json public, max-age=300
	// ES256 ""
	// ES256 ""
	// 304
}

func getSet(mux http.Handler, etag string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil)
	request.Header.Set("If-None-Match", etag)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, request)
	return answer
}
