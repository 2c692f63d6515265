// Package profile reads the tokens of issuers that do not follow RFC 9068, the standard
// for access tokens in JWT form. Each kind of issuer is a [Profile]: a small public table
// of what is read instead, and what is not checked.
//
//	p := profile.EntraV2("8eaef023-2b34-4da1-9baa-8bc8c9d6a490") // or one of your own
//	if err := p.Validate(); err != nil { … }                     // once, at the start
//
//	jws, err := jose.Parse(token, 0)
//	err = p.CheckHeader(&jws)                                     // before any key is fetched
//	key, err := keys.Key(ctx, jws.KeyID(), jws.Algorithm())       // of this issuer, and no other
//	id, err := p.Verify(&jws, key, profile.Want{Audiences: []string{api}})
//
// [Profile.Verify] checks the signature and everything else at once, so there are no
// claims without a checked signature. It knows no network and fetches no key.
//
// # What every token needs
//
// A profile cannot switch these off. The signature is of the key, whose algorithm the
// token does not choose. The payload is one JSON object without repeated names. iss is
// exactly the issuer's, sub and the client's id are there and not empty, and exp has not
// passed. If there is nbf or iat, it does not lie ahead. aud names the reader, or the
// profile says in a field named Insecure… or ScopePrefix what it does without. A token
// that is bound to a key (cnf) is refused, unless the caller says that it checks the
// proof.
//
// # Access tokens and ID tokens
//
// An ID token tells a client who its user is. An API that takes it for an access token
// lets in everyone who got hold of it. RFC 9068 prevents this with
// the typ at+jwt. Most issuers write typ JWT into both kinds, so a profile tells them
// apart by what their documentation says: [Keycloak] has a claim typ, [Cognito] has
// token_use, and ID tokens of [Okta], [Auth0] and Microsoft Entra lack the claim with the
// client's id. Besides, a token with at_hash, c_hash, s_hash or nonce is refused if its
// typ is not at+jwt.
//
// The tokens of workloads, such as [GitHubActions] and [GCP], are ID tokens in name. They
// are made for the audience that the workload asks for, and say who it is. They have no
// scopes.
//
// # Scopes and roles
//
// [Identity] keeps them apart, because issuers do. Microsoft Entra alone writes what a
// client may do into roles, and there the profile reads them as scopes if the token has
// no scp. If your issuer does the same, name its claim in ScopeList.
//
// # Tenants
//
// Many tenants of one provider often share keys, so the signature does not tell them
// apart, and iss alone does. The profiles of Microsoft Entra take the tenant and pin it.
// At GitHub, gitlab.com and Google everybody can get a signed token for your audience.
// Their profiles are marked Public, and Verify refuses all tokens until Want.Subject or
// Profile.Require says whose are accepted.
//
// # What was tried
//
// The tables follow the public documents that each profile names. The tests remake the
// tokens of these documents with keys of their own. Except for [RFC9068], no profile was
// ever tried on a live token. Try yours with a token of your issuer before you rely on
// it, and read the text of the [Error]: it says which claim was refused.
package profile
