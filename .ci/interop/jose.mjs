// jose: our token verified by our published key set.
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { AUDIENCE, CLIENT_ID, CLIENT_SECRET, ISSUER, check, refusal } from './check.mjs'

const answer = await fetch(`${ISSUER}/token`, {
  method: 'POST',
  body: new URLSearchParams({ grant_type: 'client_credentials', client_id: CLIENT_ID, client_secret: CLIENT_SECRET }),
})
check('POST /token', answer.status, 200)
const { access_token: token } = await answer.json()

const keys = createRemoteJWKSet(new URL(`${ISSUER}/.well-known/jwks.json`))
const options = {
  issuer: ISSUER,
  audience: AUDIENCE,
  typ: 'at+jwt',
  algorithms: ['ES256'],
  requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id', 'scope'],
}
const { payload, protectedHeader } = await jwtVerify(token, keys, options)
check('jwtVerify: sub', payload.sub, CLIENT_ID)
check('jwtVerify: client_id', payload.client_id, CLIENT_ID)
check('jwtVerify: scope', payload.scope, 'orders:read orders:write')
check('jwtVerify: header members', Object.keys(protectedHeader).sort(), ['alg', 'kid', 'typ'])

const [header, body, signature] = token.split('.')
const forged = `${header}.${body}.${signature.slice(0, -8)}AAAAAAAA`
check('a forged signature fails', (await refusal(jwtVerify(forged, keys, options))) instanceof errors.JWSSignatureVerificationFailed, true)
check('and is refused by the API', (await fetch(`${ISSUER}/v1/orders`, { headers: { authorization: `Bearer ${forged}` } })).status, 401)
