/** What GitHub tells a step about the run it belongs to. Everything may be empty outside of a runner. */
export interface GitHubContext {
  readonly sha: string
  readonly ref: string
  /** `owner/name` */
  readonly repository: string
  readonly serverUrl: string
  readonly apiUrl: string
  readonly runId: string
  readonly runAttempt: string
  readonly actor: string
  readonly workspace: string
  /** Address of the run's page, '' when it is not known. */
  readonly runUrl: string
}

/** Reads the context from a runner's environment. */
export function readGitHubContext(env: NodeJS.ProcessEnv): GitHubContext {
  const text = (name: string) => env[name] ?? ''
  const serverUrl = text('GITHUB_SERVER_URL') || 'https://github.com'
  const repository = text('GITHUB_REPOSITORY')
  const runId = text('GITHUB_RUN_ID')
  return {
    sha: text('GITHUB_SHA'),
    ref: text('GITHUB_REF'),
    repository,
    serverUrl,
    apiUrl: text('GITHUB_API_URL') || 'https://api.github.com',
    runId,
    runAttempt: text('GITHUB_RUN_ATTEMPT') || '1',
    actor: text('GITHUB_ACTOR'),
    workspace: text('GITHUB_WORKSPACE') || process.cwd(),
    runUrl: repository && runId ? `${serverUrl}/${repository}/actions/runs/${runId}` : '',
  }
}

/** The release id where the user names none: `<sha7>-<run id>`. */
export function defaultRelease({ sha, runId }: GitHubContext): string {
  return `${sha.slice(0, 7) || 'manual'}-${runId || '0'}`
}
