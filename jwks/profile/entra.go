package profile

import (
	"fmt"
	"strings"
	"time"
)

// EntraV1 reads the access tokens that Microsoft Entra ID writes for an API whose
// manifest has 1 or null as its access token version. tenant is the id of the one tenant
// whose tokens are accepted, a GUID: a name, or "common", is an error of
// [Profile.Validate]. The profile was never tried on a live token. Sources: [Access token
// claims reference], [ID token claims reference].
//
//	typ       JWT
//	iss       https://sts.windows.net/TENANT/
//	ver       1.0
//	tid       the tenant
//	appid     the client; ID tokens have none
//	sub       required; of a client it is the oid of its service principal
//	aud       one: the API's client id, or its App ID URI
//	scp       scopes that a user gave to the client, a string
//	roles     in a token without scp, scopes: what the client itself may do, an array.
//	          Always roles too, for in a token with scp they are the user's
//	uti       the token's id; may be missing
//	iat, exp  required
//
// Keys are at https://login.microsoftonline.com/TENANT/discovery/keys. In a national
// cloud, change Profile.Issuer.
//
// [Access token claims reference]: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
// [ID token claims reference]: https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
func EntraV1(tenant string) Profile {
	p := entra("entra-v1", "1.0", tenant)
	p.Issuer, p.Client = "https://sts.windows.net/"+strings.ToLower(tenant)+"/", "appid"
	return p
}

// EntraV2 is [EntraV1] for an API whose manifest has 2 as its access token version. It was
// never tried on a live token either. Source: [Access token claims reference].
//
//	iss       https://login.microsoftonline.com/TENANT/v2.0
//	ver       2.0
//	azp       the client; ID tokens have none
//	aud       one: the API's client id
//
// All else is as in EntraV1. Keys are at
// https://login.microsoftonline.com/TENANT/discovery/v2.0/keys.
//
// [Access token claims reference]: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
func EntraV2(tenant string) Profile {
	p := entra("entra-v2", "2.0", tenant)
	p.Issuer, p.Client = "https://login.microsoftonline.com/"+strings.ToLower(tenant)+"/v2.0", "azp"
	return p
}

// Azure reads the tokens that a managed identity of Azure gets for an API: those of
// [EntraV1] that no user had a part in, which have no scp. Subject is the object id of the
// managed identity, which is unique in the tenant and never reused. The profile was never
// tried on a live token. Source: [Access token claims reference]. A long token lives for
// 28 hours, says [Access tokens], and those that live for more than 29 are refused.
//
// For an API whose manifest asks for version 2, take EntraV2 and set Refuse and
// MaxLifetime as here.
//
// Not read: xms_mirid, the name of the identity, which is not documented.
//
// [Access token claims reference]: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
// [Access tokens]: https://learn.microsoft.com/entra/identity-platform/access-tokens
func Azure(tenant string) Profile {
	p := EntraV1(tenant)
	p.Name, p.Refuse, p.MaxLifetime = "azure", []string{"scp"}, 29*time.Hour
	return p
}

func entra(name, version, tenant string) Profile {
	p := Profile{
		Name: name, Types: []string{"JWT"}, Require: map[string][]string{"ver": {version}, "tid": {strings.ToLower(tenant)}},
		Scope: "scp", ScopeList: "roles", Roles: []string{"roles"}, TokenID: "uti", OptionalTokenID: true, MaxAudiences: 1,
	}
	if !isGUID(tenant) {
		p.fault = fmt.Errorf("%s: the tenant is %q: write its id, a GUID", name, tenant)
	}
	return p
}

func isGUID(s string) bool {
	if len(s) != len("00000000-0000-0000-0000-000000000000") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch hyphen := i == 8 || i == 13 || i == 18 || i == 23; {
		case hyphen != (c == '-'):
			return false
		case !hyphen && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f'):
			return false
		}
	}
	return true
}
