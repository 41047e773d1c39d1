// The cases of the SSH inputs, the same for every action that logs in to `host`.
import { type AddressInfo, createServer } from 'node:net'
import { freePort } from '../bed/ports.ts'
import { makeClientKey, type Sshd } from '../bed/sshd.ts'
import type { ActionResult } from '../harness/action-result.ts'
import { expectFailure, type InputCases } from '../harness/input-cases.ts'

/** The inputs by which an action logs in to a test server. */
export function sshInputs(sshd: Sshd): Record<string, string> {
  return {
    host: `${sshd.user}@${sshd.host}:${sshd.port}`,
    'private-key': sshd.clientKey.privateKey,
    'known-hosts': sshd.knownHostsLines,
  }
}

/**
 * The cases. `run` runs the action with inputs that would succeed on `sshd()`, the given ones over them; it must
 * come as far as the login before anything else can go wrong.
 */
export function sshInputCases(
  sshd: () => Sshd,
  run: (overrides: Record<string, string>) => Promise<ActionResult>,
): InputCases {
  return {
    host: async () => {
      const port = await freePort()
      expectFailure(
        await run({ host: `somebody@127.0.0.1:${port}` }),
        `somebody@127.0.0.1:${port}: cannot connect`,
      )
    },
    user: async () => {
      const { host, port } = sshd()
      const result = await run({ host: `${host}:${port}`, user: 'no-such-user' })
      expectFailure(result, `no-such-user@${host}:${port}: the server refused the login`)
    },
    port: async () => {
      const port = await freePort()
      const result = await run({ host: `u@${sshd().host}`, port: String(port) })
      expectFailure(result, `u@${sshd().host}:${port}: cannot connect`)
    },
    'private-key': async () => {
      expectFailure(await run({ 'private-key': makeClientKey('ed25519').privateKey }), /refused the login/)
    },
    passphrase: async () => {
      const { privateKey } = makeClientKey('ed25519', { passphrase: 'open sesame' })
      const result = await run({ 'private-key': privateKey, passphrase: 'wrong' })
      expectFailure(result, /`private-key` the input 'passphrase' does not fit/)
    },
    'known-hosts': async () => {
      expectFailure(
        await run({ 'known-hosts': '' }),
        /the host key is not known/,
        sshd().knownHostsLines.trim(),
      )
    },
    'host-fingerprint': async () => {
      const { host, port } = sshd()
      const { fingerprint } = makeClientKey('ed25519')
      const result = await run({ 'known-hosts': '', 'host-fingerprint': `${host}:${port} ${fingerprint}` })
      expectFailure(result, /THE HOST KEY HAS CHANGED/, fingerprint)
    },
    jump: async () => {
      const port = await freePort()
      expectFailure(await run({ jump: `u@127.0.0.1:${port}` }), `u@127.0.0.1:${port}: cannot connect`)
    },
    'jump-private-key': async () => {
      const { user, host, port } = sshd()
      const key = makeClientKey('ed25519').privateKey
      const result = await run({ jump: `${user}@${host}:${port}`, 'jump-private-key': key })
      expectFailure(result, /refused the login/)
    },
    'connect-timeout': async () => {
      const silent = createServer(() => {})
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
      try {
        const { port } = silent.address() as AddressInfo
        const result = await run({ host: `u@127.0.0.1:${port}`, 'connect-timeout': '321ms' })
        expectFailure(result, /no SSH handshake within 321 ms/)
      } finally {
        silent.close()
      }
    },
  }
}
