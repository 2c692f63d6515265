package cases

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestSkipReason(t *testing.T) {
	r := keySet(t, input(t, "jwks-skip-reason/jwks.json"))
	_, err := r.Key(context.Background(), "too-new", "")
	if said := fmt.Sprintf("%+v %v", r.Status(), err); !strings.Contains(said, "RS999") {
		t.Errorf("nothing says why the key is not there: %s", said)
	}
}
