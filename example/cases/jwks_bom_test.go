package cases

import (
	"context"
	"strings"
	"testing"
)

func TestByteOrderMark(t *testing.T) {
	r := keySet(t, "\xef\xbb\xbf"+input(t, "jwks-bom/jwks-without-bom.json"))
	if _, err := r.Key(context.Background(), "k1", ""); err != nil && !strings.Contains(err.Error(), "byte order mark") {
		t.Error(err)
	}
}
