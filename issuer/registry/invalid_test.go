package registry

import (
	"errors"
	"strings"
	"testing"
)

// Every refusal of a value says which field is wrong.
func TestInvalid(t *testing.T) {
	_, secret := GenerateSecret()
	for field, err := range map[string]error{
		"Client.Name":             (&Client{ID: "c", Name: strings.Repeat("x", 1025)}).Validate(),
		"Client.Audiences":        (&Client{ID: "c", Audiences: []string{"two words"}}).Validate(),
		"Client.Introspects":      (&Client{ID: "c", Introspects: []string{"a\x00"}}).Validate(),
		"Client.Secrets[1].Hash":  (&Client{ID: "c", Secrets: []Secret{secret, {ID: "x", Hash: "plain"}}}).Validate(),
		"Client.Secrets[0].Label": (&Client{ID: "c", Secrets: []Secret{{ID: "x", Hash: secret.Hash, Label: "\xff"}}}).Validate(),
		"Client.Secrets":          (&Client{ID: "c", Secrets: []Secret{secret, secret}}).Validate(),
		"Secret.Hash":             (&Secret{ID: "x", Hash: "plain"}).Validate(),
		"Rotation.Overlap":        Rotation{Overlap: -1}.Validate(),
		"Rotation.Label":          Rotation{Label: strings.Repeat("x", 1025)}.Validate(),
		"Change.Kind":             (&Change{}).Validate(),
		"Client":                  (*Client)(nil).Validate(),
		"Secret":                  (*Secret)(nil).Validate(),
		"Change":                  (*Change)(nil).Validate(),
		"Client.DefaultAudience":  (&Client{ID: "c", DefaultAudience: "x"}).Validate(),
	} {
		var invalid *InvalidError
		if !errors.Is(err, ErrInvalid) || !errors.As(err, &invalid) || invalid.Field != field || !strings.HasPrefix(err.Error(), "registry: "+field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, audience := range []string{"orders-api", "https://api.example/ü?x=1", "urn:example:api"} {
		if err := (&Client{ID: "c", Audiences: []string{audience}}).Validate(); err != nil {
			t.Error(err)
		}
	}
	if (&InvalidError{}).Error() == "" || (*InvalidError)(nil).Error() == "" {
		t.Error("no text")
	}
}
