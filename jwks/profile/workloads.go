package profile

import (
	"fmt"
	"strings"
	"time"
)

// Kubernetes reads the service account tokens of a cluster that are made for an audience
// of ours: by a projected volume, or by the TokenRequest API. The issuer is what the API
// server's flag --service-account-issuer says. The profile was never tried on a live
// token. Sources: [Managing Service Accounts], [claims.go].
//
//	typ       none, or JWT
//	sub       system:serviceaccount:NAMESPACE:NAME, and the client
//	aud       must name us
//	jti       may be missing: older clusters write none
//	iat, exp  required, so the tokens in secrets, which never expire, are refused
//
// The account "default" of a namespace is refused, because all its pods have it unless
// they say otherwise. Tokens that live for more than a day are refused.
//
// Many clusters have the issuer https://kubernetes.default.svc.cluster.local. Their keys
// alone tell them apart. Not read: the claim kubernetes.io. Require can name a part of
// it, such as "/kubernetes.io/namespace".
//
// [Managing Service Accounts]: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
// [claims.go]: https://github.com/kubernetes/kubernetes/blob/master/pkg/serviceaccount/claims.go
func Kubernetes() Profile {
	return Profile{
		Name: "kubernetes", Types: []string{"", "JWT"}, Client: "sub",
		SubjectPrefix: "system:serviceaccount:", SharedSubject: ":default",
		TokenID: "jti", OptionalTokenID: true, MaxLifetime: 24 * time.Hour,
	}
}

// GitHubActions reads the tokens that a job of GitHub Actions gets for an audience. Every
// user of GitHub can get one, so Want.Subject must say which job it is, or Profile.Require
// whose: "repository_owner_id" is never given to another owner, unlike a name. The
// profile was never tried on a live token. Source: [OpenID Connect reference].
//
//	typ            JWT
//	alg            RS256
//	iss            https://token.actions.githubusercontent.com
//	sub            such as repo:octo-org/octo-repo:environment:prod, and the client
//	aud            one: what the job asked for
//	jti, iat, exp  required
//
// Tokens that live for more than an hour are refused; those in the documentation live for
// five minutes. For GitHub Enterprise change Profile.Issuer.
//
// [OpenID Connect reference]: https://docs.github.com/en/actions/reference/security/oidc
func GitHubActions() Profile {
	return Profile{
		Name: "github-actions", Issuer: "https://token.actions.githubusercontent.com", Public: true,
		Types: []string{"JWT"}, Algorithms: []string{"RS256"}, Client: "sub", TokenID: "jti",
		MaxAudiences: 1, MaxLifetime: time.Hour,
	}
}

// GitLabCI reads the tokens that a job of GitLab CI gets by id_tokens. The issuer is the
// URL of the GitLab instance, such as https://gitlab.com. Every user of gitlab.com can get
// a token, so Want.Subject must say which job it is, or Profile.Require whose:
// "project_id" is the project's for as long as it lives, whatever its name. The profile
// was never tried on a live token. Source: [OpenID Connect authentication using ID tokens].
//
//	typ            JWT
//	alg            RS256
//	sub            project_path:GROUP/PROJECT:ref_type:TYPE:ref:NAME, and the client
//	aud            must name us
//	jti, iat, exp  required
//
// A token lives as long as its job may run. Those that live for more than a day are
// refused.
//
// [OpenID Connect authentication using ID tokens]: https://docs.gitlab.com/ci/secrets/id_token_authentication/
func GitLabCI() Profile {
	return Profile{
		Name: "gitlab-ci", Public: true, Types: []string{"JWT"}, Algorithms: []string{"RS256"},
		Client: "sub", SubjectPrefix: "project_path:", TokenID: "jti", MaxLifetime: 24 * time.Hour,
	}
}

// AWS reads the tokens that a role or user of AWS gets from sts:GetWebIdentityToken
// (outbound identity federation). The issuer is the account's own URL, such as
// https://ID.tokens.sts.global.api.aws. The profile was never tried on a live token.
// Sources: [Understanding token claims], [GetWebIdentityToken].
//
//	typ            none, or JWT: the documentation does not say
//	alg            RS256 or ES384, as the caller chose
//	sub            the ARN of the role or user, and the client
//	aud            one to ten names, one of them ours
//	jti, iat, exp  required; a token lives for an hour at most
//
// Not read: the claim https://sts.amazonaws.com/. Require can name a part of it: the
// account is "/https:~1~1sts.amazonaws.com~1/aws_account".
//
// [Understanding token claims]: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html
// [GetWebIdentityToken]: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
func AWS() Profile {
	return Profile{
		Name: "aws", Types: []string{"", "JWT"}, Algorithms: []string{"RS256", "ES384"},
		Client: "sub", SubjectPrefix: "arn:aws", TokenID: "jti", MaxAudiences: 10, MaxLifetime: time.Hour,
	}
}

// GCP reads the identity tokens that the metadata server of Google Cloud signs for a
// service account. Everybody with a project can get one, so Want.Subject must say which
// service account it is: its unique id, a number, which is never given to another. The
// profile was never tried on a live token. Source: [Verify VM identity].
//
//	typ       JWT
//	alg       RS256
//	iss       https://accounts.google.com
//	sub       the unique id of the service account
//	azp       the same: in the ID token of a user it is the app instead
//	aud       one: what the workload asked for
//	jti       none: a token cannot be told from another
//	iat, exp  required; a token lives for an hour
//
// Not read: email, which may be given to another account, and google, which names the
// machine. Require can name "/google/compute_engine/project_id".
//
// [Verify VM identity]: https://cloud.google.com/compute/docs/instances/verifying-instance-identity
func GCP() Profile {
	return Profile{
		Name: "gcp", Issuer: "https://accounts.google.com", Public: true,
		Types: []string{"JWT"}, Algorithms: []string{"RS256"}, Client: "azp", ClientIsSubject: true,
		MaxAudiences: 1, MaxLifetime: time.Hour,
	}
}

// SPIFFEDraft reads the JWT-SVIDs of one trust domain, such as "prod.example.com". Draft
// is in the name because the specification calls itself experimental: what is read may
// change with it. The profile was never tried on a live token. Source: [JWT-SVID].
//
//	typ       none, JWT or JOSE                           section 2.3
//	alg       RS, ES or PS with 256, 384 or 512           section 2.1
//	sub       spiffe://TRUST-DOMAIN/PATH, and the client  section 3.1
//	aud       must name us                                section 3.2
//	exp       required, within the hour                   section 3.3
//	iat, jti  may be missing                              section 3
//
// The specification needs no iss, and this package does: in SPIRE, set jwt_issuer. Not
// checked: that the header has no members but alg, kid and typ.
//
// [JWT-SVID]: https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md
func SPIFFEDraft(trustDomain string) Profile {
	p := Profile{
		Name: "spiffe-draft", Types: []string{"", "JWT", "JOSE"},
		Algorithms: []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"},
		Client:     "sub", SubjectPrefix: "spiffe://" + trustDomain + "/", TokenID: "jti", OptionalTokenID: true, OptionalIssuedAt: true,
		MaxLifetime: time.Hour,
	}
	if trustDomain == "" || strings.Trim(trustDomain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		p.fault = fmt.Errorf("spiffe-draft: %q is no trust domain: lower-case letters, digits and . - _", trustDomain)
	}
	return p
}
