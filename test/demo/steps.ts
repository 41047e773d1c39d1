// Runs actions as workflow steps, through their action.yml and the committed bundle.
import type { Sshd } from '../bed/sshd.ts'
import type { ActionResult } from '../harness/action-result.ts'
import { runAction } from '../harness/action-run.ts'
import type { Say } from './act.ts'

/** The commit the workflow "runs for", where an act has no other. */
const SHA = '5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed'

export function loginInputs(sshd: Sshd): Record<string, string> {
  return {
    host: `${sshd.user}@${sshd.host}:${sshd.port}`,
    'private-key': sshd.clientKey.privateKey,
    'known-hosts': sshd.knownHostsLines,
  }
}

/** Runs one action and says how long it took; shows its log where it fails. */
export async function mustSucceed(
  action: string,
  inputs: Record<string, string>,
  say: Say,
  options: { sha?: string; secrets?: Record<string, string> } = {},
): Promise<ActionResult> {
  const result = await runAction({
    action,
    inputs,
    deadline: 180_000,
    github: { sha: options.sha ?? SHA, run_id: '4711', repository: 'you/your-app' },
    secrets: { DEPLOY_KEY: inputs['private-key'] ?? '', ...options.secrets },
  })
  if (result.conclusion !== 'success')
    throw new Error(`${action} ended with ${result.conclusion}:\n${result.log}`)
  say(`${action}: ${outputsLine(result)} (${(result.durationMs / 1000).toFixed(1)} s)`)
  return result
}

function outputsLine({ outputs }: ActionResult): string {
  const short = Object.entries(outputs).filter(([, value]) => value !== '' && value.length <= 40)
  return short.map(([name, value]) => `${name}=${value}`).join(' ')
}
