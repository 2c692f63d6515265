// npm @modelcontextprotocol/conformance judges package outbound, through the client of mcp_client.go.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { check } from './check.mjs'

const program = fileURLToPath(new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url))
const judge = (...args) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 60_000 })

const judged = {
  'auth/client-credentials-basic': 'client-credentials-basic-auth',
  'auth/client-credentials-jwt': 'client-credentials-jwt-verified',
}
const listed = judge('list', '--client').stdout.match(/auth\/client-credentials[\w-]*/g)
check('scenarios', [...new Set(listed)].sort(), Object.keys(judged))

for (const [scenario, authentication] of Object.entries(judged)) {
  const { status, stdout, stderr } = judge('client', '--command', process.env.CLIENT, '--scenario', scenario, '--verbose')
  if (status !== 0) {
    console.error(`FAIL ${scenario}: status ${status}\n${stdout}\n${stderr}`)
    process.exit(1)
  }
  const checks = JSON.parse(stdout.slice(stdout.indexOf('['))).filter(({ status }) => status !== 'INFO')
  for (const { id, description, status } of checks) check(`${scenario}: ${id}: ${description}`, status, 'SUCCESS')
  for (const id of ['authorization-server-metadata', 'token-request', authentication]) {
    check(`${scenario} has judged ${id}`, checks.some((c) => c.id === id), true)
  }
}
