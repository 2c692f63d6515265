// npm oidc-provider as an issuer of machine tokens: JWTs of RFC 9068 for two resources. With ADDR_TLS it is
// there with TLS, and has clients with keys and certificates too. It asks for certificates at ADDR_MTLS alone.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createServerTLS } from 'node:https'
import { Provider, errors } from 'oidc-provider'
import { jwks, read, x5t } from './keys.mjs'

const { ADDR, ADDR_TLS, ADDR_MTLS, ISSUER, CLIENT_ID, CLIENT_SECRET, RESOURCE, LIFE } = process.env
const resources = [RESOURCE, `${RESOURCE}/other`]
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })

const client = (id, method, more = { client_secret: CLIENT_SECRET }) => ({
  client_id: id,
  ...more,
  token_endpoint_auth_method: method,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  id_token_signed_response_alg: 'ES256',
})

const clients = [client(CLIENT_ID, 'client_secret_basic'), client(`${CLIENT_ID}-post`, 'client_secret_post')]
if (ADDR_TLS !== undefined) {
  const bound = { tls_client_certificate_bound_access_tokens: true }
  const selfsigned = await jwks('selfsigned.pem')
  selfsigned.keys[0]['x5t#S256'] = x5t('selfsigned')
  clients.push(
    client('key', 'private_key_jwt', { jwks: await jwks('client.pub') }),
    client('key-and-proof', 'private_key_jwt', { jwks: await jwks('client.pub'), dpop_bound_access_tokens: true }),
    client('certificate', 'tls_client_auth', { tls_client_auth_subject_dn: 'CN=certificate,O=Example', ...bound }),
    client('selfsigned', 'self_signed_tls_client_auth', { jwks: selfsigned, ...bound }),
  )
}

// The subject as RFC 4514 writes it. Node.js writes a line for each part, the first one first.
const subject = (certificate) => certificate.subject.split('\n').reverse().join(',')

const provider = new Provider(ISSUER, {
  clients,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  discovery: ADDR_TLS === undefined ? {} : { mtls_endpoint_aliases: { token_endpoint: `https://${ADDR_MTLS}/token` } },
  jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'interop' }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      tlsClientAuth: true,
      getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_subject_dn' && subject(ctx.socket.getPeerX509Certificate()) === expected,
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_, resource) {
        if (!resources.includes(resource)) throw new errors.InvalidTarget()
        return { scope: 'orders:read orders:write', accessTokenFormat: 'jwt', accessTokenTTL: Number(LIFE), jwt: { sign: { alg: 'ES256' } } }
      },
    },
  },
})

const answer = provider.callback()
const serve = (request, response) => (request.url === '/healthz' ? response.end() : answer(request, response))
const listen = (server, address) => server.listen(Number(address.split(':')[1]), address.split(':')[0])
if (ADDR_TLS !== undefined) {
  const options = { cert: read('server.pem'), key: read('server.key') }
  listen(createServerTLS(options, serve), ADDR_TLS)
  listen(createServerTLS({ ...options, ca: read('ca.pem'), requestCert: true, rejectUnauthorized: false }, serve), ADDR_MTLS)
}
listen(createServer(serve), ADDR)
