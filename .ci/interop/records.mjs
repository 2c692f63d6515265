// Prints the records of the clients that have no bearer secret, for CLIENTS of the example. The keys are those that
// credentials.sh made in the folder KEYS.
import { jwks } from './keys.mjs'

const base = { scope: 'orders:read orders:write' }
const records = [
  { client_id: 'key', token_endpoint_auth_method: 'private_key_jwt', jwks: await jwks('client.pub') },
  { client_id: 'key-and-proof', token_endpoint_auth_method: 'private_key_jwt', jwks: await jwks('client.pub'), dpop_bound_access_tokens: true },
  { client_id: 'proof', client_secret: 'secret-of-proof', dpop_bound_access_tokens: true },
  {
    client_id: 'certificate',
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=certificate,O=Example',
    tls_client_certificate_bound_access_tokens: true,
  },
  {
    client_id: 'selfsigned',
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks: await jwks('selfsigned.pem'),
    tls_client_certificate_bound_access_tokens: true,
  },
]
console.log(JSON.stringify(records.map((record) => ({ ...base, ...record }))))
