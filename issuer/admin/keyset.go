package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// keySet returns the member jwks of a record: nil if it is null or left out.
func keySet(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// checkKeys returns why a key set is not usable, or a key of it. The issuer would skip
// such a key, and its owner would only see that a signature is refused.
func checkKeys(raw json.RawMessage) error {
	set, err := jose.ParseSet(raw, nil)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "jose: "))
	}
	if skipped := set.Skipped(); len(skipped) > 0 {
		which := "a key without a kid"
		if skipped[0].KeyID != "" {
			which = fmt.Sprintf("the key with the kid %.64q", skipped[0].KeyID)
		}
		return fmt.Errorf("%s cannot be used: %s", which, strings.TrimPrefix(skipped[0].Err.Error(), "jose: "))
	}
	return nil
}
