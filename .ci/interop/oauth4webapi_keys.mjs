// oauth4webapi: private_key_jwt, certificates and DPoP with required nonces, at our issuer and at our API.
import * as oauth from 'oauth4webapi'
import { AUDIENCE, ISSUER, check, refusal } from './check.mjs'
import { assertion, claims, fetchWith, privateKey, recording, refusedWith, x5t } from './keys.mjs'

const { API, API_TLS, ISSUER_TLS } = process.env
const insecure = { [oauth.allowInsecureRequests]: true } // loopback, plain http
const as = await oauth.processDiscoveryResponse(new URL(ISSUER), await oauth.discoveryRequest(new URL(ISSUER), { algorithm: 'oauth2', ...insecure }))
check('metadata: methods', ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'].every((m) => as.token_endpoint_auth_methods_supported.includes(m)), true)
check('metadata: DPoP with ES256', as.dpop_signing_alg_values_supported.includes('ES256'), true)
check('metadata: where certificates are asked for', as.mtls_endpoint_aliases.token_endpoint, `${ISSUER_TLS}/token`)

// retried repeats a request once if the server wants a nonce.
const retried = (request) => request().catch((error) => (oauth.isDPoPNonceError(error) ? request() : Promise.reject(error)))

async function granted(clientID, auth, { fetch = globalThis.fetch, DPoP, mtls = false } = {}) {
  const client = { client_id: clientID, use_mtls_endpoint_aliases: mtls }
  const options = { [oauth.customFetch]: fetch, DPoP, ...insecure }
  return retried(async () => oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, auth, { resource: AUDIENCE }, options)))
}

const call = (token, url, { fetch = globalThis.fetch, DPoP } = {}) =>
  retried(() => oauth.protectedResourceRequest(token.access_token, 'GET', new URL(url), undefined, undefined, { [oauth.customFetch]: fetch, DPoP, ...insecure }))
const bearer = async (token, url, fetch = globalThis.fetch) => (await fetch(url, { headers: { authorization: `Bearer ${token.access_token}` } })).status

// private_key_jwt
const key = await privateKey('client.key')
const plain = await granted('key', oauth.PrivateKeyJwt(key))
check('private_key_jwt: token_type', plain.token_type, 'bearer')
check('private_key_jwt: GET /v1/orders', (await call(plain, `${API}/v1/orders`)).status, 200)
check('private_key_jwt: a token that is bound to nothing at /v1/bound', (await refusal(call(plain, `${API}/v1/bound`)))?.status, 401)
check('private_key_jwt: another key', await refusedWith(granted('key', oauth.PrivateKeyJwt((await privateKey('other.key')).key))), [401, 'invalid_client'])

const send = async (text) => {
  const body = { grant_type: 'client_credentials', client_assertion: text }
  body.client_assertion_type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
  const answer = await fetch(`${ISSUER}/token`, { method: 'POST', body: new URLSearchParams(body) })
  return [answer.status, (await answer.json()).error]
}
const once = await assertion('key', ISSUER)
check('assertion: accepted', await send(once), [200, undefined])
check('assertion: accepted once', await send(once), [401, 'invalid_client'])
check('assertion: for the token endpoint', await send(await assertion('key', `${ISSUER}/token`)), [401, 'invalid_client'])
check('assertion: for several', await send(await assertion('key', [ISSUER, 'https://other.example'])), [401, 'invalid_client'])
check('assertion: for an hour', await send(await assertion('key', ISSUER, { exp: Math.floor(Date.now() / 1000) + 3600 })), [401, 'invalid_client'])

// DPoP, alone and with private_key_jwt
for (const [clientID, auth] of [['proof', oauth.ClientSecretBasic('secret-of-proof')], ['key-and-proof', oauth.PrivateKeyJwt(key)]]) {
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  const { record, log, statuses } = recording(globalThis.fetch)
  const token = await granted(clientID, auth, { DPoP, fetch: record })
  check(`${clientID}: token_type`, token.token_type, 'dpop')
  check(`${clientID}: token requests, the first without a nonce`, statuses(), [400, 200])
  check(`${clientID}: the token is bound to the key`, claims(token.access_token).cnf.jkt, await DPoP.calculateThumbprint())
  check(`${clientID}: GET /v1/bound`, (await call(token, `${API}/v1/bound`, { DPoP, fetch: record })).status, 200)
  check(`${clientID}: requests to the API, the first without a nonce`, statuses(), [401, 200])
  check(`${clientID}: GET /v1/orders`, (await call(token, `${API}/v1/orders`, { DPoP, fetch: record })).status, 200)
  const { headers } = log[0]
  check(`${clientID}: the nonce is used again`, statuses(), [200])
  check(`${clientID}: GET /v1/bound of the issuer's process`, (await call(token, `${ISSUER}/v1/bound`, { DPoP, fetch: record })).status, 200)
  check(`${clientID}: with the nonce of the token endpoint`, statuses(), [200])

  const request = new Request(`${API}/v1/orders`, { headers })
  const valid = await oauth.validateJwtAccessToken(as, request, AUDIENCE, { requireDPoP: true, ...insecure })
  check(`${clientID}: oauth4webapi accepts token and proof too`, valid.client_id, clientID)

  const replayed = await fetch(`${API}/v1/orders`, { headers })
  check(`${clientID}: a proof used before`, [replayed.status, /error="(\w+)"/.exec(replayed.headers.get('www-authenticate'))?.[1]], [401, 'invalid_dpop_proof'])
  const elsewhere = await fetch(`${API}/v1/bound`, { headers })
  check(`${clientID}: a proof for another URL`, elsewhere.status, 401)
  check(`${clientID}: the token as a bearer token`, [await bearer(token, `${API}/v1/bound`), await bearer(token, `${API}/v1/orders`)], [401, 401])
  const thief = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  const stolen = await refusal(call(token, `${API}/v1/bound`, { DPoP: thief }))
  check(`${clientID}: the token with the proof of another key`, [stolen?.status, stolen?.cause?.[0].parameters.error], [401, 'invalid_token'])
  check(`${clientID}: no proof, no token`, await refusedWith(granted(clientID, auth)), [400, 'invalid_dpop_proof'])
}

// Certificates
for (const [name, wrong] of [['certificate', 'other'], ['selfsigned', 'unknown']]) {
  const own = fetchWith(name)
  const token = await granted(name, oauth.TlsClientAuth(), { fetch: own, mtls: true })
  check(`${name}: the token is bound to the certificate`, claims(token.access_token).cnf['x5t#S256'], x5t(name))
  check(`${name}: GET /v1/bound`, (await call(token, `${API_TLS}/v1/bound`, { fetch: own })).status, 200)
  check(`${name}: GET /v1/bound with another certificate`, await bearer(token, `${API_TLS}/v1/bound`, fetchWith(wrong)), 401)
  check(`${name}: GET /v1/bound without a certificate`, await bearer(token, `${API_TLS}/v1/bound`, fetchWith()), 401)
  check(`${name}: GET /v1/orders without TLS`, await bearer(token, `${API}/v1/orders`), 401)
  check(`${name}: no token for another certificate`, await refusedWith(granted(name, oauth.TlsClientAuth(), { fetch: fetchWith(wrong), mtls: true })), [401, 'invalid_client'])
  check(`${name}: no token without a certificate`, await refusedWith(granted(name, oauth.TlsClientAuth(), { fetch: fetchWith(), mtls: true })), [401, 'invalid_client'])
}
