// openid-client: private_key_jwt, certificates and DPoP with required nonces, at our issuer and at our API.
import * as client from 'openid-client'
import { AUDIENCE, ISSUER, check, refusal } from './check.mjs'
import { claims, fetchWith, privateKey, recording, refusedWith, x5t } from './keys.mjs'

const { API, API_TLS } = process.env
const discover = (clientID, auth, metadata, fetch = globalThis.fetch) =>
  client.discovery(new URL(ISSUER), clientID, metadata, auth, {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests], // loopback, plain http
    [client.customFetch]: fetch,
  })
const grant = (config, DPoP) => client.clientCredentialsGrant(config, { resource: AUDIENCE }, { DPoP })
const call = (config, token, url, DPoP) => client.fetchProtectedResource(config, token.access_token, new URL(url), 'GET', undefined, undefined, { DPoP })
const bearer = async (token, url, fetch = globalThis.fetch) => (await fetch(url, { headers: { authorization: `Bearer ${token.access_token}` } })).status

// private_key_jwt
const key = await privateKey('client.key')
{
  const config = await discover('key', client.PrivateKeyJwt(key))
  const token = await grant(config)
  check('private_key_jwt: GET /v1/orders', (await call(config, token, `${API}/v1/orders`)).status, 200)
  check('private_key_jwt: another key', await refusedWith(grant(await discover('key', client.PrivateKeyJwt(await privateKey('other.key'))))), [401, 'invalid_client'])
  const endpoint = { [client.modifyAssertion]: (_, payload) => (payload.aud = `${ISSUER}/token`) }
  check('private_key_jwt: for the token endpoint', await refusedWith(grant(await discover('key', client.PrivateKeyJwt(key, endpoint)))), [401, 'invalid_client'])
  const same = { [client.modifyAssertion]: (_, payload) => (payload.jti = 'openid-client') }
  const twice = await discover('key', client.PrivateKeyJwt(key, same))
  check('private_key_jwt: an id of an assertion', (await grant(twice)).token_type, 'bearer')
  check('private_key_jwt: the same id again', await refusedWith(grant(twice)), [401, 'invalid_client'])
}

// DPoP, alone and with private_key_jwt
for (const [clientID, auth] of [['proof', client.ClientSecretBasic('secret-of-proof')], ['key-and-proof', client.PrivateKeyJwt(key)]]) {
  const { record, log, statuses } = recording(globalThis.fetch)
  const config = await discover(clientID, auth, undefined, record)
  statuses()
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
  const token = await grant(config, DPoP)
  check(`${clientID}: token_type`, token.token_type, 'dpop')
  check(`${clientID}: token requests, the first without a nonce`, statuses(), [400, 200])
  check(`${clientID}: the token is bound to the key`, claims(token.access_token).cnf.jkt, await DPoP.calculateThumbprint())
  check(`${clientID}: GET /v1/bound`, (await call(config, token, `${API}/v1/bound`, DPoP)).status, 200)
  const { headers } = log.at(-1)
  check(`${clientID}: requests to the API, the first without a nonce`, statuses(), [401, 200])
  check(`${clientID}: GET /v1/orders`, (await call(config, token, `${API}/v1/orders`, DPoP)).status, 200)
  check(`${clientID}: the nonce is used again`, statuses(), [200])
  check(`${clientID}: a proof used before`, (await fetch(`${API}/v1/bound`, { headers })).status, 401)
  check(`${clientID}: the token as a bearer token`, [await bearer(token, `${API}/v1/bound`), await bearer(token, `${API}/v1/orders`)], [401, 401])
  const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
  const stolen = await refusal(call(config, token, `${API}/v1/bound`, thief))
  check(`${clientID}: the token with the proof of another key`, [stolen?.status, stolen?.cause?.[0].parameters.error], [401, 'invalid_token'])
}

// Certificates
for (const [name, wrong] of [['certificate', 'other'], ['selfsigned', 'unknown']]) {
  const metadata = { use_mtls_endpoint_aliases: true }
  const config = await discover(name, client.TlsClientAuth(), metadata)
  config[client.customFetch] = fetchWith(name)
  const token = await grant(config)
  check(`${name}: the token is bound to the certificate`, claims(token.access_token).cnf['x5t#S256'], x5t(name))
  check(`${name}: GET /v1/bound`, (await call(config, token, `${API_TLS}/v1/bound`)).status, 200)
  config[client.customFetch] = fetchWith(wrong)
  check(`${name}: GET /v1/bound with another certificate`, (await refusal(call(config, token, `${API_TLS}/v1/bound`)))?.status, 401)
  check(`${name}: no token for another certificate`, await refusedWith(grant(config)), [401, 'invalid_client'])
}
