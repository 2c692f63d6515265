package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestHangingDatabase wants an error soon, which names the server and no password.
func TestHangingDatabase(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := silent.Addr().String()
	t.Setenv("DATABASE_URL", "postgres://m2m:hunter2@"+address+"/m2m")
	began := time.Now()
	_, _, err = open(t.Context(), 200*time.Millisecond)
	if took := time.Since(began); err == nil || took > 20*time.Second {
		t.Fatalf("%v after %v", err, took)
	}
	for _, says := range []string{"no connection to DATABASE_URL " + address + "/m2m", "nothing was changed"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error %q does not say %q", err, says)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error %q has the password", err)
	}
}

func TestPlaceOf(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://m2m:secret@db/m2m":                                "db:5432/m2m",
		"postgres://m2m@one,two:6432/m2m?sslmode=disable":             "one:5432,two:6432/m2m",
		"host=db user=m2m password=x dbname=tokens sslmode=verify-ca": "db:5432/tokens",
	} {
		if got, err := placeOf(url); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", url, got, err, want)
		}
	}
}
