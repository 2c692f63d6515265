package profile_test

import (
	"slices"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/profile"
)

const (
	tenant  = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
	another = "82229342-1101-4ab6-817b-70c0747630f3"
)

// shape is a token as a public document shows it, with other values where those would
// tell who a person is. No live token was at hand.
type shape struct {
	name     string
	source   string // the document
	profile  profile.Profile
	typ, alg string
	doc      string // ISSUED, BEFORE, EXPIRES are times
	want     profile.Want
	identity profile.Identity // what is read; times and claims left out
}

func (s *shape) claims() claims {
	return payload(strings.NewReplacer(
		"ISSUED", seconds(-time.Minute), "BEFORE", seconds(-2*time.Minute), "EXPIRES", seconds(4*time.Minute),
	).Replace(s.doc))
}

// quick is the algorithm that is quickest to sign with, of those that are accepted.
func (s *shape) quick() string {
	if len(s.profile.Algorithms) == 0 || slices.Contains(s.profile.Algorithms, "ES256") {
		return "ES256"
	}
	return s.alg
}

// shapes has one token of every profile, and more where the issuer has more forms.
func shapes() []shape {
	pinned := profile.GitLabCI()
	pinned.Require = map[string][]string{"project_id": {"20"}}
	return []shape{{
		name: "RFC 9068", source: "https://www.rfc-editor.org/rfc/rfc9068.html#section-3", profile: profile.RFC9068(), typ: "at+jwt", alg: "RS256",
		doc: `{"iss":"https://authorization-server.example.com/","sub":"5ba552d67","aud":"https://rs.example.com/",
			"exp":EXPIRES,"iat":ISSUED,"jti":"dbe39bf3a3ba4238a513f51d6e1691c4","client_id":"s6BhdRkqt3","scope":"openid profile reademail"}`,
		want: profile.Want{Issuer: "https://authorization-server.example.com/", Audiences: []string{"https://rs.example.com/"}},
		identity: profile.Identity{Subject: "5ba552d67", ClientID: "s6BhdRkqt3", TokenID: "dbe39bf3a3ba4238a513f51d6e1691c4",
			Audience: []string{"https://rs.example.com/"}, Scopes: []string{"openid", "profile", "reademail"}},
	}, {
		name: "Auth0, RFC 9068 form", source: "https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles", profile: profile.RFC9068(), typ: "at+jwt", alg: "RS256",
		doc: `{"iss":"https://my-domain.auth0.com/","sub":"auth0|123456","aud":["https://example.com/health-api","https://my-domain.auth0.com/userinfo"],
			"client_id":"my_client_id","exp":EXPIRES,"iat":ISSUED,"jti":"73WakrfVbNJBaAmhQtEeDv","scope":"openid profile read:patients read:admin","my_custom_claim":"my_custom_value"}`,
		want: profile.Want{Issuer: "https://my-domain.auth0.com/", Audiences: []string{"https://example.com/health-api"}},
		identity: profile.Identity{Subject: "auth0|123456", ClientID: "my_client_id", TokenID: "73WakrfVbNJBaAmhQtEeDv",
			Audience: []string{"https://example.com/health-api", "https://my-domain.auth0.com/userinfo"}, Scopes: []string{"openid", "profile", "read:patients", "read:admin"}},
	}, {
		name: "Auth0, own form of a client", source: "https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles", profile: profile.Auth0(), typ: "JWT", alg: "RS256",
		doc: `{"iss":"https://my-domain.auth0.com/","sub":"my_client_id@clients","aud":"https://example.com/health-api",
			"iat":ISSUED,"exp":EXPIRES,"gty":"client-credentials","azp":"my_client_id","scope":"read:patients","permissions":["read:patients"]}`,
		want: profile.Want{Issuer: "https://my-domain.auth0.com/", Audiences: []string{"https://example.com/health-api"}},
		identity: profile.Identity{Subject: "my_client_id@clients", ClientID: "my_client_id",
			Audience: []string{"https://example.com/health-api"}, Scopes: []string{"read:patients"}, Roles: []string{"read:patients"}},
	}, {
		name: "Keycloak, service account", source: "https://docs.walt.id/wallet/api/auth/jwt-oidc/keycloak/api-endpoints", profile: profile.Keycloak(), typ: "JWT", alg: "RS256",
		doc: `{"exp":EXPIRES,"iat":ISSUED,"jti":"f73a4a37-9550-4f88-97ef-3b45abee06f1","iss":"https://keycloak.example.com/realms/acme","aud":["orders","account"],
			"sub":"7ddaf89f-69eb-4ecf-a9ca-acba11211986","typ":"Bearer","azp":"reporter","acr":"1","allowed-origins":["/*"],
			"realm_access":{"roles":["offline_access","uma_authorization"]},"resource_access":{"orders":{"roles":["writer"]},"account":{"roles":["view-profile"]}},
			"scope":"email profile","clientHost":"192.0.2.7","email_verified":false,"preferred_username":"service-account-reporter","clientAddress":"192.0.2.7","client_id":"reporter"}`,
		want: profile.Want{Issuer: "https://keycloak.example.com/realms/acme", Audiences: []string{"orders"}},
		identity: profile.Identity{Subject: "7ddaf89f-69eb-4ecf-a9ca-acba11211986", ClientID: "reporter", TokenID: "f73a4a37-9550-4f88-97ef-3b45abee06f1",
			Audience: []string{"orders", "account"}, Scopes: []string{"email", "profile"}, Roles: []string{"offline_access", "uma_authorization"}},
	}, {
		name: "Entra v1, a client's", source: "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference", profile: profile.EntraV1(tenant), typ: "JWT", alg: "RS256",
		doc: `{"aud":"api://orders","iss":"https://sts.windows.net/` + tenant + `/","iat":ISSUED,"nbf":ISSUED,"exp":EXPIRES,"aio":"E2NgYNhx",
			"appid":"1671f074-56e2-4c37-873b-b7b07a120b18","appidacr":"1","idp":"https://sts.windows.net/` + tenant + `/","idtyp":"app","oid":"72243241-f194-45f3-987d-eeb347b83b69",
			"rh":"0.Aa4A","roles":["Orders.Read","Orders.Write"],"sub":"72243241-f194-45f3-987d-eeb347b83b69","tid":"` + tenant + `","uti":"4GOPt79GP0if650O0N7iAA","ver":"1.0"}`,
		want: profile.Want{Audiences: []string{"api://orders"}},
		identity: profile.Identity{Subject: "72243241-f194-45f3-987d-eeb347b83b69", ClientID: "1671f074-56e2-4c37-873b-b7b07a120b18", TokenID: "4GOPt79GP0if650O0N7iAA",
			Audience: []string{"api://orders"}, Scopes: []string{"Orders.Read", "Orders.Write"}, Roles: []string{"Orders.Read", "Orders.Write"}},
	}, {
		name: "Entra v2, a user's", source: "https://learn.microsoft.com/entra/identity-platform/access-tokens", profile: profile.EntraV2(tenant), typ: "JWT", alg: "RS256",
		doc: `{"aud":"6e74172b-be56-4843-9ff4-e66a39bb12e3","iss":"https://login.microsoftonline.com/` + tenant + `/v2.0","iat":ISSUED,"nbf":ISSUED,"exp":EXPIRES,"aio":"AXQAi/8I",
			"azp":"6e74172b-be56-4843-9ff4-e66a39bb12e3","azpacr":"0","name":"A User","oid":"690222be-ff1a-4d56-abd1-7e4f7d38e474","preferred_username":"user@example.com","rh":"I",
			"roles":["Orders.Admin"],"scp":"access_as_user","sub":"HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ","tid":"` + tenant + `","uti":"fqiBqXLPj0eQa82S-IYFAA","ver":"2.0"}`,
		want: profile.Want{Audiences: []string{"6e74172b-be56-4843-9ff4-e66a39bb12e3"}},
		identity: profile.Identity{Subject: "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", ClientID: "6e74172b-be56-4843-9ff4-e66a39bb12e3", TokenID: "fqiBqXLPj0eQa82S-IYFAA",
			Audience: []string{"6e74172b-be56-4843-9ff4-e66a39bb12e3"}, Scopes: []string{"access_as_user"}, Roles: []string{"Orders.Admin"}},
	}, {
		name: "Azure, managed identity", source: "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference", profile: profile.Azure(tenant), typ: "JWT", alg: "RS256",
		doc: `{"aud":"api://orders","iss":"https://sts.windows.net/` + tenant + `/","iat":ISSUED,"nbf":ISSUED,"exp":EXPIRES,"aio":"42BgYIio","appid":"942343b1-4af2-490c-b6d9-9250b8f2808c","appidacr":"2",
			"idp":"https://sts.windows.net/` + tenant + `/","oid":"72243241-f194-45f3-987d-eeb347b83b69","sub":"72243241-f194-45f3-987d-eeb347b83b69","tid":"` + tenant + `","uti":"vT4mWq5BsU6gFPMB","ver":"1.0",
			"xms_mirid":"/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/rg/providers/Microsoft.Compute/virtualMachines/vm"}`,
		want: profile.Want{Audiences: []string{"api://orders"}, Subject: "72243241-f194-45f3-987d-eeb347b83b69"},
		identity: profile.Identity{Subject: "72243241-f194-45f3-987d-eeb347b83b69", ClientID: "942343b1-4af2-490c-b6d9-9250b8f2808c", TokenID: "vT4mWq5BsU6gFPMB",
			Audience: []string{"api://orders"}},
	}, {
		name: "Okta", source: "https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/", profile: profile.Okta(), typ: "", alg: "RS256",
		doc: `{"ver":1,"jti":"AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE","iss":"https://acme.okta.com/oauth2/default","aud":"https://api.example.com",
			"sub":"nmdP1fcyvdVO11AL7ECm","iat":ISSUED,"exp":EXPIRES,"cid":"nmdP1fcyvdVO11AL7ECm","scp":["flights","custom"],"custom_claim":"CustomValue"}`,
		want: profile.Want{Issuer: "https://acme.okta.com/oauth2/default", Audiences: []string{"https://api.example.com"}},
		identity: profile.Identity{Subject: "nmdP1fcyvdVO11AL7ECm", ClientID: "nmdP1fcyvdVO11AL7ECm", TokenID: "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
			Audience: []string{"https://api.example.com"}, Scopes: []string{"flights", "custom"}},
	}, {
		name: "Cognito", source: "https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html", profile: profile.Cognito("orders"), typ: "", alg: "RS256",
		doc: `{"sub":"xxxxxxxxxxxxexample","token_use":"access","scope":"orders/read orders/write","auth_time":ISSUED,"iss":"https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
			"cognito:groups":["testgroup"],"exp":EXPIRES,"iat":ISSUED,"version":2,"jti":"7a54e5a0-4a3b-4b4c-8f1d-2f8f5f0e9c11","client_id":"xxxxxxxxxxxxexample"}`,
		want: profile.Want{Issuer: "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example"},
		identity: profile.Identity{Subject: "xxxxxxxxxxxxexample", ClientID: "xxxxxxxxxxxxexample", TokenID: "7a54e5a0-4a3b-4b4c-8f1d-2f8f5f0e9c11",
			Scopes: []string{"orders/read", "orders/write"}, Roles: []string{"testgroup"}},
	}, {
		name: "Kubernetes", source: "https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/", profile: profile.Kubernetes(), typ: "", alg: "RS256",
		doc: `{"aud":["https://my-audience.example.com"],"exp":EXPIRES,"iat":ISSUED,"iss":"https://my-cluster.example.com","jti":"aed34954-b33a-4142-b1ec-389d6bbb4936",
			"kubernetes.io":{"namespace":"my-namespace","node":{"name":"my-node","uid":"646e7c5e"},"pod":{"name":"my-pod","uid":"5e0bd49b"},"serviceaccount":{"name":"my-serviceaccount","uid":"14ee3fa4"}},
			"nbf":ISSUED,"sub":"system:serviceaccount:my-namespace:my-serviceaccount"}`,
		want: profile.Want{Issuer: "https://my-cluster.example.com", Audiences: []string{"https://my-audience.example.com"}},
		identity: profile.Identity{Subject: "system:serviceaccount:my-namespace:my-serviceaccount", ClientID: "system:serviceaccount:my-namespace:my-serviceaccount",
			TokenID: "aed34954-b33a-4142-b1ec-389d6bbb4936", Audience: []string{"https://my-audience.example.com"}},
	}, {
		name: "GitHub Actions", source: "https://docs.github.com/en/actions/reference/security/oidc", profile: profile.GitHubActions(), typ: "JWT", alg: "RS256",
		doc: `{"jti":"example-id","sub":"repo:octo-org/octo-repo:environment:prod","environment":"prod","aud":"https://auth.example.com","ref":"refs/heads/main","sha":"example-sha",
			"repository":"octo-org/octo-repo","repository_owner":"octo-org","actor_id":"12","repository_visibility":"private","repository_id":"74","repository_owner_id":"65","run_id":"example-run-id",
			"run_number":"10","run_attempt":"2","runner_environment":"github-hosted","actor":"octocat","workflow":"example-workflow","head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_type":"branch",
			"job_workflow_ref":"octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main","iss":"https://token.actions.githubusercontent.com","nbf":BEFORE,"exp":EXPIRES,"iat":ISSUED}`,
		want: profile.Want{Audiences: []string{"https://auth.example.com"}, Subject: "repo:octo-org/octo-repo:environment:prod"},
		identity: profile.Identity{Subject: "repo:octo-org/octo-repo:environment:prod", ClientID: "repo:octo-org/octo-repo:environment:prod", TokenID: "example-id",
			Audience: []string{"https://auth.example.com"}},
	}, {
		name: "GitLab CI", source: "https://docs.gitlab.com/ci/secrets/id_token_authentication/", profile: pinned, typ: "JWT", alg: "RS256",
		doc: `{"namespace_id":"72","namespace_path":"my-group","project_id":"20","project_path":"my-group/my-project","user_id":"1","user_login":"sample-user","user_access_level":"developer",
			"pipeline_id":"574","pipeline_source":"push","job_id":"302","ref":"feature-branch-1","ref_type":"branch","ref_path":"refs/heads/feature-branch-1","ref_protected":"false",
			"groups_direct":["mygroup/mysubgroup"],"runner_id":1,"runner_environment":"self-hosted","sha":"714a629c0b401fdce83e847fc9589983fc6f46bc","project_visibility":"public",
			"jti":"235b3a54-b797-45c7-ae9a-f72d7bc6ef5b","iss":"https://gitlab.example.com","iat":ISSUED,"nbf":BEFORE,"exp":EXPIRES,
			"sub":"project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1","aud":"https://auth.example.com"}`,
		want: profile.Want{Issuer: "https://gitlab.example.com", Audiences: []string{"https://auth.example.com"}},
		identity: profile.Identity{Subject: "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1", ClientID: "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
			TokenID: "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", Audience: []string{"https://auth.example.com"}},
	}, {
		name: "AWS", source: "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html", profile: profile.AWS(), typ: "JWT", alg: "ES384",
		doc: `{"iss":"https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws","aud":"https://api.example.com","sub":"arn:aws:iam::123456789012:role/DataProcessingRole","iat":ISSUED,"exp":EXPIRES,
			"jti":"xyz123-def456-ghi789-jkl012","https://sts.amazonaws.com/":{"aws_account":"123456789012","source_region":"us-east-1","org_id":"o-abc1234567","principal_tags":{"team":"data-engineering"},
			"lambda_source_function_arn":"arn:aws:lambda:us-east-1:123456789012:function:process-data","request_tags":{"job-id":"job-2024-001"}}}`,
		want: profile.Want{Issuer: "https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws", Audiences: []string{"https://api.example.com"}},
		identity: profile.Identity{Subject: "arn:aws:iam::123456789012:role/DataProcessingRole", ClientID: "arn:aws:iam::123456789012:role/DataProcessingRole",
			TokenID: "xyz123-def456-ghi789-jkl012", Audience: []string{"https://api.example.com"}},
	}, {
		name: "GCP", source: "https://cloud.google.com/compute/docs/instances/verifying-instance-identity", profile: profile.GCP(), typ: "JWT", alg: "RS256",
		doc: `{"iss":"https://accounts.google.com","iat":ISSUED,"exp":EXPIRES,"aud":"https://auth.example.com","sub":"110987294251917851298","azp":"110987294251917851298",
			"email":"716149158341-compute@developer.gserviceaccount.com","email_verified":true,
			"google":{"compute_engine":{"instance_creation_timestamp":1595155766,"instance_id":"4340508760561261530","instance_name":"vm","project_id":"my-project","project_number":716149158341,"zone":"us-central1-a"}}}`,
		want:     profile.Want{Audiences: []string{"https://auth.example.com"}, Subject: "110987294251917851298"},
		identity: profile.Identity{Subject: "110987294251917851298", ClientID: "110987294251917851298", Audience: []string{"https://auth.example.com"}},
	}, {
		name: "SPIFFE", source: "https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md", profile: profile.SPIFFEDraft("prod.example.com"), typ: "", alg: "ES256",
		doc:  `{"iss":"https://oidc.prod.example.com","sub":"spiffe://prod.example.com/ns/billing/sa/reporter","aud":["spiffe://prod.example.com/orders"],"exp":EXPIRES,"iat":ISSUED}`,
		want: profile.Want{Issuer: "https://oidc.prod.example.com", Audiences: []string{"spiffe://prod.example.com/orders"}},
		identity: profile.Identity{Subject: "spiffe://prod.example.com/ns/billing/sa/reporter", ClientID: "spiffe://prod.example.com/ns/billing/sa/reporter",
			Audience: []string{"spiffe://prod.example.com/orders"}},
	}}
}
