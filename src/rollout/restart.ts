import type { Context } from '../context.ts'
import { Failure } from '../failure.ts'
import type { Connection } from '../ssh/connection.ts'

export interface Restart {
  /** Several lines of shell, run by `sh -e`. */
  readonly command: string
  readonly address: string
  readonly ip: string
  readonly port: number
  readonly release: string
}

/** The command ran and did not succeed. */
export class RestartFailed extends Failure {
  override readonly name = 'RestartFailed'
}

const LINES_SHOWN = 10

/**
 * Runs the restart command on the node, its values in the environment. Throws
 * `RestartFailed` with its last lines; any other error leaves open whether it ran.
 */
export async function runRestart(
  connection: Connection,
  { command, address, ip, port, release }: Restart,
  { log, signal }: Context,
): Promise<void> {
  const lastLines: string[] = []
  const onLine = (line: string) => {
    log.info(line)
    lastLines.push(line)
    if (lastLines.length > LINES_SHOWN) lastLines.shift()
  }
  const env = {
    EVENKEEL_RELEASE: release,
    EVENKEEL_IP: ip,
    EVENKEEL_PORT: String(port),
    EVENKEEL_ADDRESS: address,
  }
  const result = await connection.script(command, { env, onLine, signal })
  if (result.code === 0) return
  const end = result.signal === undefined ? `exit code ${result.code}` : `killed by ${result.signal}`
  throw new RestartFailed('the restart command failed', {
    host: connection.name,
    seen: lastLines.length === 0 ? end : `${end}, last lines: ${lastLines.join(' / ')}`,
    hint: 'see the lines above it in the log',
  })
}
