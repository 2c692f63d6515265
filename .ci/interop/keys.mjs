// The keys and certificates that credentials.sh made in the folder KEYS, for the clients and servers in JavaScript.
import { createHash, createPrivateKey, createPublicKey, randomUUID, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { calculateJwkThumbprint, SignJWT } from 'jose'
import { Agent, fetch } from 'undici'

export const read = (name) => readFileSync(`${process.env.KEYS}/${name}`)

// jwks returns the key set of a public key, or of a certificate.
export async function jwks(name) {
  const key = createPublicKey(read(name)).export({ format: 'jwk' })
  const set = { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: await calculateJwkThumbprint(key) }] }
  if (name.endsWith('.pem')) set.keys[0].x5c = [new X509Certificate(read(name)).raw.toString('base64')]
  return set
}

// privateKey returns a private key and its kid, as oauth4webapi and openid-client take them.
export async function privateKey(name) {
  const pair = createPrivateKey(read(name))
  const kid = await calculateJwkThumbprint(createPublicKey(pair).export({ format: 'jwk' }))
  const der = pair.export({ type: 'pkcs8', format: 'der' })
  return { key: await crypto.subtle.importKey('pkcs8', der, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']), kid }
}

// fetchWith returns a fetch over TLS that shows the certificate NAME.pem, or none.
export function fetchWith(name) {
  const client = name === undefined ? {} : { cert: read(`${name}.pem`), key: read(`${name}.key`) }
  const dispatcher = new Agent({ connect: { ca: read('ca.pem'), ...client } })
  return (url, options) => fetch(url, { ...options, dispatcher })
}

// x5t is the thumbprint of a certificate (RFC 8705, section 3.1).
export const x5t = (name) => createHash('sha256').update(new X509Certificate(read(`${name}.pem`)).raw).digest('base64url')

// claims returns the payload of a token, unverified.
export const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))

// assertion signs a client assertion (RFC 7523, section 3). changed are other claims.
export async function assertion(clientID, audience, changed) {
  const { key, kid } = await privateKey('client.key')
  const now = Math.floor(Date.now() / 1000)
  const payload = { iss: clientID, sub: clientID, aud: audience, iat: now, exp: now + 60, jti: randomUUID(), ...changed }
  return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid }).sign(key)
}

// recording wraps a fetch. It notes the status of each answer, and the headers of each request.
export function recording(inner) {
  const log = []
  const record = async (url, options) => {
    const answer = await inner(url, options)
    log.push({ status: answer.status, headers: Object.fromEntries(new Headers(options?.headers)) })
    return answer
  }
  return { record, log, statuses: () => log.splice(0).map(({ status }) => status) }
}

// refusedWith returns the status and the error code of a refusal. Both libraries report an answer with a challenge as
// that, its body unread.
export const refusedWith = (promise) =>
  promise.then(
    () => 'not refused',
    async (error) => [error.status, error.error ?? (await error.response?.json())?.error],
  )
