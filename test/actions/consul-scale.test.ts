// Many nodes at once: how much memory, processor time and requests to Consul a rollout takes as it grows.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startConsul } from '../bed/consul.ts'
import { startSshd } from '../bed/sshd.ts'
import { peersOf, statusText } from '../bed/upsync-format.ts'
import { startAction } from '../harness/action-run.ts'
import { expectSuccess } from '../harness/input-cases.ts'
import { VALUE } from './consul-bed.ts'

async function listening(listener: RequestListener, host: string): Promise<Server> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return server
}
const portOf = (server: Server) => (server.address() as AddressInfo).port

/** Seconds of processor time so far, and the most memory held, in MB. */
function usageOf(pid: number): { cpu: number; memory: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  const memory = /VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (memory === undefined) throw new Error('it has ended')
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, memory: Number(memory) / 1024 }
}

test('a rollout over 200 nodes stays small, and grows with the number of nodes only', {
  timeout: 400_000,
}, async () => {
  const consul = await startConsul()
  onTestFinished(() => consul.stop())
  const programs = mkdtempSync(join(tmpdir(), 'evenkeel-no-ss-'))
  // As in containers with a network of their own: no socket table to look at.
  writeFileSync(join(programs, 'ss'), '#!/bin/sh\nexit 1\n')
  chmodSync(join(programs, 'ss'), 0o755)
  const sshd = await startSshd({ path: [programs] })
  onTestFinished(async () => {
    await sshd.stop()
    rmSync(programs, { recursive: true })
  })
  // All of 127.0.0.0/8 is this machine: one server is every node.
  const nodes = await listening((_, response) => response.end('pong'), '0.0.0.0')
  let requests = 0
  const counted = await listening((incoming, response) => {
    requests++
    const onward = request(
      `${consul.url}${incoming.url}`,
      { method: incoming.method, headers: incoming.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      },
    )
    incoming.pipe(onward)
  }, '127.0.0.1')
  const prefix = 'upstreams/app/'
  const page = await listening((_, response) => {
    fetch(`${consul.url}/v1/kv/${prefix}?recurse`)
      .then((answer) => answer.json())
      .then((rows) =>
        response.end(statusText('app', peersOf(prefix, rows as { Key: string; Value: string }[]).peers)),
      )
  }, '127.0.0.1')

  const rollOut = async (count: number) => {
    for (const name of (await consul.list('')).keys()) await consul.delete(name)
    const addresses = Array.from({ length: count }, (_, index) => `127.0.1.${index + 1}:${portOf(nodes)}`)
    for (const address of addresses) await consul.put(`${prefix}${address}`, VALUE)
    requests = 0
    const run = startAction({
      action: 'consul-restart',
      inputs: {
        'consul-url': `http://127.0.0.1:${portOf(counted)}`,
        nodes: addresses.map((address) => `${address} ${sshd.user}@${sshd.host}:${sshd.port}`).join('\n'),
        release: `of-${count}`,
        restart: 'true',
        'private-key': sshd.clientKey.privateKey,
        'known-hosts': sshd.knownHostsLines,
        'health-url': 'http://{address}/ping',
        'health-from': 'runner',
        'lb-status': `http://127.0.0.1:${portOf(page)}/upstream_list?app`,
        'drain-timeout': '100ms',
        batch: '20%',
        'min-live': '60',
      },
      deadline: 300_000,
    })
    await run.waitForLog(/logged in|lease of upstreams/, 120_000)
    const { pid } = run
    let usage = usageOf(pid)
    const watch = setInterval(() => {
      try {
        usage = usageOf(pid)
      } catch {
        // It has just ended.
      }
    }, 100)
    const result = await run.result
    clearInterval(watch)
    expectSuccess(result)
    expect(result.outputs['updated']!.split(',')).toHaveLength(count)
    expect(result.summary).toContain(`${count} of ${count} nodes updated`)
    const longest = Math.max(
      ...result.log.split('\n').map((line) => (line.includes('nodes done') ? line.length : 0)),
    )
    return { ...usage, requests, longest, summary: result.summary.length }
  }
  const small = await rollOut(100)
  const large = await rollOut(200)
  expect(large.memory).toBeLessThan(200)
  const growth = 200 / 100
  expect(large.requests / small.requests).toBeLessThan(growth * 1.15)
  expect(large.cpu / small.cpu).toBeLessThan(growth * 1.5)
  expect(large.longest).toBeLessThan(600)
  expect(large.summary).toBeLessThan(60_000)
})
