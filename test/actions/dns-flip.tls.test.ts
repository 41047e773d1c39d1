import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../bed/ports.ts'
import { expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { type DnsScene, NEW, OLD, startDnsScene, ZONE } from './dns-scene.ts'

let scene: DnsScene
let folder: string
beforeAll(async () => {
  scene = await startDnsScene()
  folder = mkdtempSync(join(tmpdir(), 'evenkeel-tls-'))
})
afterAll(async () => {
  await scene?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** A certificate that is its own authority. */
function certificate(name: string, days: number) {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  const request = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days ${days} -subj /CN=${name}`
  execFileSync(
    'openssl',
    [...request.split(' '), '-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', cert],
    {
      stdio: 'ignore',
    },
  )
  return { key: readFileSync(key), cert: readFileSync(cert), path: cert }
}

/** Flips www to a new machine that serves HTTPS with this certificate. */
async function flipTo(tls: ReturnType<typeof certificate>, trusted: string) {
  const port = await freePort(NEW)
  const names: string[] = []
  const server: Server = createServer({ key: tls.key, cert: tls.cert }, (request, response) => {
    names.push((request.socket as unknown as { servername: string }).servername)
    response.end('fine')
  })
  await new Promise<void>((resolve) => server.listen(port, NEW, resolve))
  const before = await scene.dns.serial(ZONE)
  try {
    const inputs = { records: `www A ${OLD} -> ${NEW}`, 'verify-url': `https://{name}:${port}/` }
    const result = await scene.flip(inputs, { env: { NODE_EXTRA_CA_CERTS: trusted } })
    return { result, names, written: (await scene.dns.serial(ZONE)) !== before }
  } finally {
    await new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  }
}

test('a certificate for another name is refused before any write', async () => {
  const wrong = certificate('other.example.test', 30)
  const { result, written } = await flipTo(wrong, wrong.path)
  expectFailure(result, /altnames/, /copy it over, or issue by DNS-01/)
  expect(written).toBe(false)
})

test('a certificate that nobody vouches for is refused', async () => {
  const { result, written } = await flipTo(certificate('www.example.test', 30), '')
  expectFailure(result, /self-signed certificate/, /DNS-01/)
  expect(written).toBe(false)
})

test('a certificate that ends within a day is refused', async () => {
  const short = certificate('www.example.test', 1)
  const { result, written } = await flipTo(short, short.path)
  expectFailure(result, /its certificate ends within a day/)
  expect(written).toBe(false)
})

test('a good one is taken, asked for by the live name', async () => {
  const good = certificate('www.example.test', 30)
  const { result, names } = await flipTo(good, good.path)
  expectSuccess(result)
  expect(new Set(names)).toEqual(new Set(['www.example.test']))
})
