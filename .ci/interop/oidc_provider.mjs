// npm oidc-provider as an issuer of machine tokens: JWTs of RFC 9068 for two resources.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { Provider, errors } from 'oidc-provider'

const { ADDR, ISSUER, CLIENT_ID, CLIENT_SECRET, RESOURCE, LIFE } = process.env
const resources = [RESOURCE, `${RESOURCE}/other`]
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

const client = (id, method) => ({
  client_id: id,
  client_secret: CLIENT_SECRET,
  token_endpoint_auth_method: method,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  id_token_signed_response_alg: 'ES256',
})

const provider = new Provider(ISSUER, {
  clients: [client(CLIENT_ID, 'client_secret_basic'), client(`${CLIENT_ID}-post`, 'client_secret_post')],
  jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'interop' }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_, resource) {
        if (!resources.includes(resource)) throw new errors.InvalidTarget()
        return { scope: 'orders:read orders:write', accessTokenFormat: 'jwt', accessTokenTTL: Number(LIFE), jwt: { sign: { alg: 'ES256' } } }
      },
    },
  },
})

const [host, port] = ADDR.split(':')
const answer = provider.callback()
createServer((request, response) => (request.url === '/healthz' ? response.end() : answer(request, response))).listen(Number(port), host)
