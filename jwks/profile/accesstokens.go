package profile

import "fmt"

// RFC9068 reads the access tokens of [RFC 9068], as package middleware does by default
// and as strictly. So it reads those of this module's issuer, and of Auth0 if the API's
// setting "JSON Web Token (JWT) Profile" says RFC 9068.
//
//	typ        at+jwt                      section 4, step 1
//	client_id  the client                  section 2.2, required
//	sub, jti   required                    section 2.2
//	iat, exp   required                    section 2.2
//	aud        must name the API           section 4, step 4
//	scope      a string, may be missing    section 2.2.3
//
// Not read: roles, groups and entitlements (section 2.2.3.1). Add "roles" to
// Profile.Roles if the issuer writes them so.
//
// [RFC 9068]: https://www.rfc-editor.org/rfc/rfc9068.html
func RFC9068() Profile {
	return Profile{Name: "rfc9068", Types: []string{"at+jwt"}, Client: "client_id", Scope: "scope", TokenID: "jti"}
}

// Keycloak reads the access tokens of a realm of Keycloak. The issuer is the realm's URL,
// such as https://keycloak.example.com/realms/acme. The profile was never tried on a live
// token. Sources: [AccessToken.java], [TokenUtil.java], [pull request 37573],
// [issue 33090] with a whole token, [issue 34306].
//
//	typ           JWT, or at+jwt if the client's setting says so   pull request 37573
//	typ (claim)   Bearer, or DPoP for a bound token                TokenUtil.java
//	azp           the client                                       issue 33090
//	scope         a string                                         AccessToken.java
//	realm_access  roles of the realm, an array in "roles"          AccessToken.java
//	aud           must name the API                                issue 33090
//	sub           required: the scope "basic" adds it              issue 34306
//	jti, iat      required                                         issue 33090
//
// A new realm writes only "account" into aud: give the client a scope with an audience
// mapper for the API. Roles of one client are in another claim; to read them too, append
// "/resource_access/CLIENT/roles" to Profile.Roles.
//
// Tokens of users from before Keycloak 25 may have nonce, and are then refused.
//
// [pull request 37573]: https://github.com/keycloak/keycloak/pull/37573
// [TokenUtil.java]: https://github.com/keycloak/keycloak/blob/main/core/src/main/java/org/keycloak/util/TokenUtil.java
// [AccessToken.java]: https://github.com/keycloak/keycloak/blob/main/core/src/main/java/org/keycloak/representations/AccessToken.java
// [issue 33090]: https://github.com/keycloak/keycloak/issues/33090
// [issue 34306]: https://github.com/keycloak/keycloak/issues/34306
func Keycloak() Profile {
	return Profile{
		Name: "keycloak", Types: []string{"JWT", "at+jwt"},
		Require: map[string][]string{"typ": {"Bearer", "DPoP"}},
		Client:  "azp", Scope: "scope", Roles: []string{"/realm_access/roles"}, TokenID: "jti",
	}
}

// Auth0 reads the access tokens of an Auth0 tenant in Auth0's own form, which is the
// default of an API. [RFC9068] reads the other form. The issuer is the tenant's domain
// with a slash behind it, such as https://acme.auth0.com/. The profile was never tried on
// a live token. Source: [Access Token Profiles].
//
//	typ          JWT
//	azp          the client
//	sub          required; of a client its id with "@clients" behind it
//	aud          must name the API; of users it has /userinfo too
//	scope        a string
//	permissions  roles here, an array: what RBAC allows
//	iat, exp     required
//	jti          there may be none: a token cannot be told from another then
//
// [Access Token Profiles]: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
func Auth0() Profile {
	return Profile{
		Name: "auth0", Types: []string{"JWT"}, Client: "azp", Scope: "scope", Roles: []string{"permissions"},
		TokenID: "jti", OptionalTokenID: true,
	}
}

// Okta reads the access tokens of a custom authorization server of Okta. The issuer is
// its URL, such as https://acme.okta.com/oauth2/default. Those of the org authorization
// server (https://acme.okta.com) are for Okta alone, and their structure may change. The
// profile was never tried on a live token. Source: [OAuth 2.0 and OpenID Connect
// overview], "Access token payload".
//
//	typ       none, or JWT
//	cid       the client; ID tokens have none
//	sub       required
//	aud       must name the API: it is set per authorization server
//	scp       scopes, an array
//	jti, iat  required
//
// Not read: groups, which is a custom claim. Add its name to Profile.Roles.
//
// [OAuth 2.0 and OpenID Connect overview]: https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/
func Okta() Profile {
	return Profile{Name: "okta", Types: []string{"", "JWT"}, Client: "cid", ScopeList: "scp", TokenID: "jti"}
}

// Cognito reads the access tokens of a user pool of Amazon Cognito. The issuer is
// https://cognito-idp.REGION.amazonaws.com/POOL. The profile was never tried on a live
// token. Source: [Understanding the access token].
//
//	typ             none, or JWT
//	token_use       access; an ID token has id
//	client_id       the app client
//	sub, jti, iat   required
//	scope           a string; a custom scope is RESOURCE-SERVER/NAME
//	cognito:groups  roles, an array
//	aud             mostly none
//
// As most tokens have no aud, resourceServer stands in for it: the identifier of the
// API's resource server in the pool. A token without aud is accepted if it has one of
// its scopes. With "" instead, every token without aud is refused until
// InsecureNoAudience is set.
//
// [Understanding the access token]: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
func Cognito(resourceServer string) Profile {
	p := Profile{
		Name: "cognito", Types: []string{"", "JWT"},
		Require: map[string][]string{"token_use": {"access"}},
		Client:  "client_id", Scope: "scope", Roles: []string{"cognito:groups"}, TokenID: "jti",
	}
	if resourceServer != "" {
		p.ScopePrefix = resourceServer + "/"
		if !isScope(resourceServer) {
			p.fault = fmt.Errorf("cognito: %q is no identifier of a resource server", resourceServer)
		}
	}
	return p
}
