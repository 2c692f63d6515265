// oauth4webapi: the grant with both secret methods, and its RFC 9068 validation of our access token.
import * as oauth from 'oauth4webapi'
import { AUDIENCE, CLIENT_ID, CLIENT_SECRET, ISSUER, check, refusal } from './check.mjs'

const insecure = { [oauth.allowInsecureRequests]: true } // loopback, plain http
const issuer = new URL(ISSUER)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }))
check('RFC 8414 metadata', [as.issuer, as.jwks_uri], [ISSUER, `${ISSUER}/.well-known/jwks.json`])

const client = { client_id: CLIENT_ID }
let token
for (const method of ['ClientSecretBasic', 'ClientSecretPost']) {
  const auth = oauth[method](CLIENT_SECRET)
  const answer = await oauth.clientCredentialsGrantRequest(as, client, auth, new URLSearchParams({ resource: AUDIENCE }), insecure)
  token = await oauth.processClientCredentialsResponse(as, client, answer)
  check(`${method}: scope`, token.scope, 'orders:read orders:write')
}

const request = (accessToken) =>
  new Request(`${ISSUER}/v1/orders`, { headers: { authorization: `Bearer ${accessToken}` } })
check('GET /v1/orders', (await fetch(request(token.access_token))).status, 200)

const claims = await oauth.validateJwtAccessToken(as, request(token.access_token), AUDIENCE, insecure)
check('validateJwtAccessToken: iss', claims.iss, ISSUER)
check('validateJwtAccessToken: aud', [claims.aud].flat(), [AUDIENCE])
check('validateJwtAccessToken: sub and client_id', [claims.sub, claims.client_id], [CLIENT_ID, CLIENT_ID])
check('validateJwtAccessToken: exp - iat', claims.exp - claims.iat, token.expires_in)

const elsewhere = await refusal(oauth.validateJwtAccessToken(as, request(token.access_token), 'https://other.example', insecure))
check('validateJwtAccessToken: another audience is refused', elsewhere?.name, 'OperationProcessingError')
