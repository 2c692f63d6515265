// openid-client: discovery by RFC 8414, then the client credentials grant with both secret methods.
import * as client from 'openid-client'
import { AUDIENCE, CLIENT_ID, CLIENT_SECRET, ISSUER, check, refusal } from './check.mjs'

const discover = (auth) =>
  client.discovery(new URL(ISSUER), CLIENT_ID, undefined, auth, {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests], // loopback, plain http
  })

for (const method of ['ClientSecretBasic', 'ClientSecretPost']) {
  const config = await discover(client[method](CLIENT_SECRET))
  check(`${method}: token endpoint discovered`, config.serverMetadata().token_endpoint, `${ISSUER}/token`)

  const token = await client.clientCredentialsGrant(config, { scope: 'orders:read', resource: AUDIENCE })
  check(`${method}: token_type`, token.token_type, 'bearer') // openid-client lower-cases it
  check(`${method}: scope`, token.scope, 'orders:read')

  const orders = await client.fetchProtectedResource(config, token.access_token, new URL(`${ISSUER}/v1/orders`), 'GET')
  check(`${method}: GET /v1/orders`, orders.status, 200)

  const denied = await refusal(client.clientCredentialsGrant(await discover(client[method]('wrong'))))
  // An answer with a WWW-Authenticate challenge is reported as that, its body unread.
  check(`${method}: wrong secret`, [denied?.status, denied?.error ?? (await denied?.response.json()).error], [401, 'invalid_client'])
}
