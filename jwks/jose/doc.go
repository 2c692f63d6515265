// Package jose reads and writes signed tokens and their keys, strictly. It knows
// no issuer, no network and no clock: keys, key sets, claims and tokens are data
// here.
//
// [Parse] reads a token and [JWS.Verify] checks its signature with a [Key].
// [ParseSet] reads the key set of an issuer. [ParseObject] is the one strict JSON
// reader of this module. A [Signer] signs. Package jwks adds where keys come from.
//
// # Tokens
//
// Parse accepts exactly one spelling of a token: the compact JWS of RFC 7515,
// section 3.1, unpadded and canonical. The token never chooses the algorithm: a
// Key has one, and Verify refuses a token that names another. HMAC and "none"
// cannot be expressed.
//
// An ECDSA signature has two valid forms, (r, s) and (r, n−s). So neither the
// bytes of a token nor their hash identify it. Use the claims iss and jti.
//
// # Keys
//
// The algorithms are ES256, ES384, ES512, EdDSA and its newer name Ed25519
// (RFC 9864), PS256, PS384, PS512, RS256, RS384 and RS512. RSA keys have 2048 to
// 8192 bits. In a [Set] a key is found by its id and its algorithm, so one id may
// name an RS256 key and an RS512 key. Two different keys with the same id and the
// same algorithm exclude each other, because a verifier cannot tell which one is
// meant.
//
// [JWS.EmbeddedKey] is the key in the header of a DPoP proof (RFC 9449). Such a key
// proves only that the sender has its private half.
// [Key.Thumbprint] is the name under which an access token is bound to it.
//
// # Errors
//
// An error says what is wrong with a token, a key or a document. No error quotes
// a private key.
package jose
