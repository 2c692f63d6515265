package profile_test

import (
	"fmt"
	"log"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// A token of a Keycloak realm. The keys are the realm's own: in a program they come from
// jwks.NewRemote.
func ExampleKeycloak() {
	token, keys := exampleToken("JWT", `{"iss":"https://keycloak.example.com/realms/acme","aud":["orders","account"],"sub":"7ddaf89f",
		"typ":"Bearer","azp":"reporter","jti":"f73a4a37","iat":1790000000,"exp":1790000300,"scope":"orders:read","realm_access":{"roles":["auditor"]}}`)

	p := profile.Keycloak()
	if err := p.Validate(); err != nil {
		log.Fatal(err)
	}
	jws, err := jose.Parse(token, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := p.CheckHeader(&jws); err != nil { // before any key is fetched
		log.Fatal(err)
	}
	id, err := p.Verify(&jws, keys.Find(jws.KeyID(), jws.Algorithm()), profile.Want{
		Issuer:    "https://keycloak.example.com/realms/acme",
		Audiences: []string{"orders"},
		Now:       time.Unix(1790000060, 0), // left out in a program
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.ClientID, id.Scopes, id.Roles)
	// Output: reporter [orders:read] [auditor]
}

// An issuer that has no profile here: write down what its documentation says.
func ExampleProfile() {
	p := profile.Profile{
		Name:      "acme",
		Issuer:    "https://login.acme.example",
		Types:     []string{"JWT"},
		Require:   map[string][]string{"use": {"access"}}, // what ID tokens do not have
		Client:    "app",
		ScopeList: "/authz/grants",
		TokenID:   "jti",
		MaxAge:    time.Hour,
	}
	if err := p.Validate(); err != nil {
		log.Fatal(err)
	}
	claims := `{"iss":"https://login.acme.example","aud":"https://api.example.com","sub":"reporter","app":"reporter","use":"%s",` +
		`"jti":"1","iat":1790000000,"exp":1790086400,"authz":{"grants":["orders:read"]}}`
	for _, use := range []string{"access", "login"} {
		token, keys := exampleToken("JWT", fmt.Sprintf(claims, use))
		jws, err := jose.Parse(token, 0)
		if err != nil {
			log.Fatal(err)
		}
		id, err := p.Verify(&jws, keys.Find(jws.KeyID(), jws.Algorithm()), profile.Want{
			Audiences: []string{"https://api.example.com"},
			Now:       time.Unix(1790000060, 0),
		})
		fmt.Println(id.Scopes, err)
	}
	// Output:
	// [orders:read] <nil>
	// [] profile: acme: use is "login", not one of ["access"]
}

// Validate names the field.
func ExampleProfile_Validate() {
	p := profile.Okta()
	p.ScopePrefix = "orders"
	fmt.Println(p.Validate())

	p = profile.EntraV2("contoso.onmicrosoft.com")
	fmt.Println(p.Validate())
	// Output:
	// profile: Profile.ScopePrefix: "orders" does not end with a slash, colon or dot, or cannot begin a scope
	// profile: entra-v2: the tenant is "contoso.onmicrosoft.com": write its id, a GUID
}

// Everybody can get a token of GitHub for this audience. The owner's id says whose jobs
// are meant. For one job alone, set Want.Subject instead.
func ExampleGitHubActions() {
	token, keys := exampleToken("JWT", `{"iss":"https://token.actions.githubusercontent.com","aud":"https://auth.example.com","jti":"1",
		"sub":"repo:octo-org/octo-repo:ref:refs/heads/main","repository_owner":"octo-org","repository_owner_id":"65","nbf":1789999700,"iat":1790000000,"exp":1790000300}`)
	jws, err := jose.Parse(token, 0)
	if err != nil {
		log.Fatal(err)
	}
	key, want := keys.Find(jws.KeyID(), jws.Algorithm()), profile.Want{Audiences: []string{"https://auth.example.com"}, Now: time.Unix(1790000060, 0)}

	p := profile.GitHubActions()
	_, err = p.Verify(&jws, key, want)
	fmt.Println(err)

	p.Require = map[string][]string{"repository_owner_id": {"65"}}
	id, err := p.Verify(&jws, key, want)
	fmt.Println(id.Subject, err)
	// Output:
	// profile: github-actions: everybody can get a token of this issuer: set Want.Subject or Profile.Require
	// repo:octo-org/octo-repo:ref:refs/heads/main <nil>
}

// exampleToken is a token as an issuer would sign it, and the issuer's keys.
func exampleToken(typ, claims string) (string, *jose.Set) {
	private, err := jose.Generate("RS256")
	if err != nil {
		log.Fatal(err)
	}
	signer, err := jose.NewSigner(private, "RS256")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jose.NewSet(signer.Key())
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.Sign(typ, []byte(claims))
	if err != nil {
		log.Fatal(err)
	}
	return token, keys
}
