// check(what, got, want): one `ok <what>` line, or exit 1.
import { deepStrictEqual } from 'node:assert'
import { basename } from 'node:path'

const { ISSUER, CLIENT_ID, CLIENT_SECRET } = process.env
const AUDIENCE = process.env.AUDIENCE ?? `${ISSUER}/v1`
export { ISSUER, AUDIENCE, CLIENT_ID, CLIENT_SECRET }

export function check(what, got, want) {
  what = `${basename(process.argv[1])}: ${what}`
  try {
    deepStrictEqual(got, want)
  } catch {
    console.error(`FAIL ${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
    process.exit(1)
  }
  console.log(`ok ${what}`)
}

// refusal returns what a promise was rejected with.
export const refusal = (promise) => promise.then(() => undefined, (error) => error)
