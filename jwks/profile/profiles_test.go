package profile_test

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// Every profile reads the token of its document.
func TestShapes(t *testing.T) {
	names := map[string]bool{}
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			if err := s.profile.Validate(); err != nil {
				t.Fatal(err)
			}
			names[s.profile.Name] = true
			id, err := verify(s.profile, s.typ, s.alg, s.claims(), s.want)
			if err != nil {
				t.Fatal(err)
			}
			if issuer := cmp.Or(s.want.Issuer, s.profile.Issuer); id.Issuer != issuer || issuer == "" {
				t.Errorf("the issuer is %q, not %q", id.Issuer, issuer)
			}
			if !id.IssuedAt.Equal(now.Add(-time.Minute)) || !id.Expires.Equal(now.Add(4*time.Minute)) || id.NotBefore.After(now) {
				t.Errorf("the times are %v, %v, %v", id.IssuedAt, id.Expires, id.NotBefore)
			}
			if sub, _, _ := id.Claims.String("sub"); sub != s.identity.Subject {
				t.Errorf("the claims have the sub %q", sub)
			}
			id.Issuer, id.IssuedAt, id.Expires, id.NotBefore, id.Claims = "", time.Time{}, time.Time{}, time.Time{}, jose.Object{}
			if !reflect.DeepEqual(id, s.identity) {
				t.Errorf("it says\n%+v, not\n%+v", id, s.identity)
			}
		})
	}
	for _, ready := range []profile.Profile{
		profile.RFC9068(), profile.Keycloak(), profile.Auth0(), profile.EntraV1(tenant), profile.EntraV2(tenant), profile.Azure(tenant), profile.Okta(), profile.Cognito("a"),
		profile.Kubernetes(), profile.GitHubActions(), profile.GitLabCI(), profile.AWS(), profile.GCP(), profile.SPIFFEDraft("a"),
	} {
		if !names[ready.Name] {
			t.Errorf("no shape is of %s", ready.Name)
		}
	}
}

// A token of one issuer is refused by the profiles of all others, if these stay with the
// issuers they are for.
func TestOtherIssuers(t *testing.T) {
	for _, s := range shapes() {
		for _, other := range shapes() {
			if cmp.Or(s.want.Issuer, s.profile.Issuer) == cmp.Or(other.want.Issuer, other.profile.Issuer) {
				continue
			}
			want := other.want
			want.Audiences = s.want.Audiences
			want.Subject = s.identity.Subject
			id, err := verify(other.profile, s.typ, s.alg, s.claims(), want)
			if err == nil {
				t.Errorf("the profile of %s reads a token of %s", other.name, s.name)
			}
			wantRefused(t, id, err, "")
		}
	}
}

// Which profile reads whose tokens when it is set up for the wrong issuer and audience.
// A profile that reads scopes takes no token of a workload, but that of GCP, which has azp.
func TestOtherProfiles(t *testing.T) {
	var accepted []string
	for _, s := range shapes() {
		for _, other := range shapes() {
			p, want := other.profile, s.want
			p.Issuer, want.Issuer = "", cmp.Or(s.want.Issuer, s.profile.Issuer)
			want.Subject = s.identity.Subject
			want.Audiences = s.identity.Audience
			id, err := verify(p, s.typ, s.alg, s.claims(), want)
			if err != nil {
				wantRefused(t, id, err, "")
				continue
			}
			if s.name != other.name {
				accepted = append(accepted, s.name+" by "+other.name)
			}
		}
	}
	if may := []string{
		"RFC 9068 by Auth0, RFC 9068 form", // one profile
		"Auth0, RFC 9068 form by RFC 9068",
		"Keycloak, service account by Auth0, own form of a client", // azp and scope are all that Auth0 has
		"Entra v1, a client's by Azure, managed identity",          // one form
		"Entra v2, a user's by Auth0, own form of a client",
		"Azure, managed identity by Entra v1, a client's",
		"GitLab CI by GitHub Actions", // GitHub lets a repository choose how sub begins
		"GCP by Auth0, own form of a client",
	}; !slices.Equal(accepted, may) {
		t.Errorf("read were\n%s\nwant\n%s", strings.Join(accepted, "\n"), strings.Join(may, "\n"))
	}
}
