// npm @modelcontextprotocol/conformance judges package outbound, through the client of mcp_client.go.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { check } from './check.mjs'

const program = fileURLToPath(new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url))
const judge = (...args) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 60_000 })

// The other scenario is of private_key_jwt (RFC 7523), which outbound does not have.
const known = ['auth/client-credentials-basic', 'auth/client-credentials-jwt']
const listed = judge('list', '--client').stdout.match(/auth\/client-credentials[\w-]*/g)
check('scenarios', [...new Set(listed)].sort(), known)

const { status, stdout, stderr } = judge('client', '--command', process.env.CLIENT, '--scenario', known[0], '--verbose')
if (status !== 0) {
  console.error(`FAIL ${known[0]}: status ${status}\n${stdout}\n${stderr}`)
  process.exit(1)
}
const checks = JSON.parse(stdout.slice(stdout.indexOf('['))).filter(({ status }) => status !== 'INFO')
for (const { id, description, status } of checks) check(`${known[0]}: ${id}: ${description}`, status, 'SUCCESS')
for (const id of ['authorization-server-metadata', 'token-request', 'client-credentials-basic-auth']) {
  check(`${known[0]} has judged ${id}`, checks.some((c) => c.id === id), true)
}
