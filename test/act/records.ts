import type { GitHubApi } from '../bed/github-api.ts'

/**
 * The records of the API's peer, oldest first, each as `<kind> <first characters of its commit> <states>`. GitHub
 * itself makes superseded ones `inactive`, which is left out.
 */
export function recordsOf(api: GitHubApi): string[] {
  return api.deployments.map(({ sha, payload, statuses }) => {
    const states = statuses.map(({ state }) => state).filter((state) => state !== 'inactive')
    const { kind } = payload as { kind: string }
    return `${kind} ${sha.slice(0, 7)} ${states.join(' ')}`
  })
}
