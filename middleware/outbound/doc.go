// Package outbound puts access tokens on the requests that a program sends, and keeps it
// calling while things fail. It is the OAuth 2.0 client of the client credentials grant
// (RFC 6749, section 4.4), for any authorization server.
//
// [New] makes a [Source] from a [Config]. [Source.Client] is an http.Client whose requests
// carry a token. [Source.Transport], [Source.Token], [Source.OAuth2] and [Source.PerRPC]
// are for programs that have a client of their own.
//
// # The life of a token
//
// All calls share one fetch, which belongs to none of them: if the context of one ends,
// that call leaves with its context's error, and the others get the token.
//
// A token that is used is refreshed in the background, at a random moment between a third
// of its lifetime and its lifetime − min(lifetime/2, 20 min). No call with a valid token
// waits for that. While refreshes fail, the token in hand is used until 5 s before its
// end, or a tenth of its lifetime if that is less.
//
// The lifetime is the shorter one of expires_in and, if the token is a JWT, its exp. It is
// counted from when the token was asked for. exp is read by the clock here and, with the
// Date of the answer, by the server's. The earlier end counts; with expires_in, it may be
// up to 5 min after exp as the clock here reads it. A clock by which a new token has
// expired already is taken to be wrong, and a token that has expired by both is not used.
// The end of a token that passed while the machine was suspended is noticed within a
// minute.
//
//   - expires_in is absent or null: exp counts, or 5 min without one.
//   - It is a number in any spelling, or a string of digits: that many seconds.
//   - It is more than 24 h, such as 1e30: 24 h.
//   - It is negative, less than a second, or something else: the token is not used.
//
// # Failures
//
// A fetch that failed is tried again after a random time of up to 1 s, then 2 s, and so on
// up to 1 min, within a budget of ten retries at once and ten a minute. Retry-After delays
// it, up to an hour, also that of the metadata. If the next try would come after the end of
// the token in hand, one more is made in the token's last second. Calls without a token wait
// for a try that begins within Config.Timeout. Other calls get the latest error at once.
//
// Until the server has given a token, and after failures, there is one try at a time,
// however many callers and tokens: the other calls wait for its outcome, until their own
// deadlines. From 30 s after the latest token on it is the same, but for refreshes in the
// background. So a secret that was rotated in a night without calls is tried once.
//
// What a retry will not change is tried again after 30 to 60 s, then twice that, up to
// 5 min: a refused client or secret (invalid_client, unauthorized_client), scope
// (invalid_scope), resource (invalid_target) or other parameter, tokens that cannot be
// used, and 4xx answers without an OAuth error, such as a firewall's 403 (but not 404, 408,
// 410, 421, 425 and 429). A refused client and an answer without an OAuth error delay all
// tokens of a Source and of those that For made, another refusal only its own. A fetch that
// was under way meanwhile does not shorten the delay. Each try reads the secret anew, so a
// rotated one is noticed.
//
// The latest token endpoint is used while the metadata cannot be fetched.
//
// When an API refuses a token before its end, another one is fetched and the request is
// sent again. See [Source.Transport].
//
// # Without a shared secret
//
// In place of [Config.Secret], the client can sign its token requests ([PrivateKeyJWT]),
// send a token of its platform ([WorkloadToken]), or show a certificate
// ([CertificateFiles]). Keys are any crypto.Signer.
//
// With [Config.DPoP] tokens are bound to a key (RFC 9449). Each request then has a proof of
// that key, with the latest nonce of the server that it is sent to. A request is sent once
// more if a server asks for another nonce. With [Config.Certificate] the server may bind
// tokens to the certificate (RFC 8705), and connections show it. While a certificate is
// renewed, each token is sent over connections that show its own.
//
// # What is sent where
//
// Tokens are sent to the origins of Config.Origins only, and the secret or assertion to the
// token endpoint only. Redirects of the token endpoint are not followed. URLs are https, or http
// on the loopback, unless Config.InsecureHTTP allows more. The token endpoint is named, or
// found through the issuer's metadata (RFC 8414). Its answers have at most 64 KiB, and a
// token 16 KiB.
//
// The addresses that token requests dial are checked as package fetch checks them. Private
// addresses and the loopback are allowed, because issuers live there. But a token endpoint
// that metadata names on another host than the issuer's may be at one only if the issuer
// is too.
//
// Tokens, secrets, keys, assertions and proofs are in no event, no error and no printed
// form of a type of this package. [Token.Text] is the only way to a token's text, besides
// the request's header.
//
// Not checked: tokens themselves. They are for the API to read.
package outbound
