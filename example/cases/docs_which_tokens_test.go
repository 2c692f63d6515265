package cases

import (
	"os"
	"strings"
	"testing"
)

func TestREADMESaysWhichTokens(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "at+jwt") {
		t.Error("README.md has no word of at+jwt")
	}
}
