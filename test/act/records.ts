import type { GitHubApi } from '../bed/github-api.ts'

/** The records of the API's peer, oldest first, each as `<kind> <first characters of its commit> <states>`. */
export function recordsOf(api: GitHubApi): string[] {
  return api.deployments.map(({ sha, payload, statuses }) => {
    const { kind } = payload as { kind: string }
    return `${kind} ${sha.slice(0, 7)} ${statuses.map(({ state }) => state).join(' ')}`
  })
}
