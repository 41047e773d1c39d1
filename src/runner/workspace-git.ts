import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { cancelled } from '../context.ts'
import { Failure } from '../failure.ts'
import { programEnvironment } from './runner-command.ts'

interface Output {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** git in the workflow's own checkout on the runner, with the credentials that actions/checkout has left there. */
export class WorkspaceGit {
  readonly #folder: string
  readonly #signal: AbortSignal

  constructor(folder: string, signal: AbortSignal) {
    this.#folder = folder
    this.#signal = signal
  }

  async lsRemote(of: 'checkout' | 'origin', patterns: readonly string[]): Promise<string> {
    const { stdout } = await this.#git(['ls-remote', '--', of === 'checkout' ? '.' : 'origin', ...patterns])
    return stdout
  }

  async pack(
    sha: string,
    known: { readonly haves: readonly string[]; readonly shallow: readonly string[] },
  ): Promise<{ stream: Readable; ended: Promise<void> }> {
    await this.#bring(sha)
    const haves = (await this.#present(known.haves)).map((id) => `^${id}`)
    const shallow = (await this.#present(known.shallow)).map((id) => `--shallow ${id}`)
    const args = ['pack-objects', '--revs', '--thin', '--stdout', '--delta-base-offset', '-q']
    if (shallow.length > 0) args.push('--shallow')
    const child = this.#start(args)
    // At once: what nobody reads yet when a child ends is thrown away.
    const stream = child.stdout.pipe(new PassThrough())
    child.stdin.end(`${[...shallow, sha, ...haves].join('\n')}\n`)
    const ended = outcome(child, false, this.#signal).then(({ code, stderr }) => {
      if (code === 0) return
      throw new Failure('git could not pack the commits on the runner', {
        seen: stderr.trim() || `exit code ${code}`,
        state: 'the checkout and what runs are as they were.',
      })
    })
    ended.catch(() => {})
    return { stream, ended }
  }

  /** Makes sure that a commit is here with its history: a shallow checkout is deepened. */
  async #bring(sha: string): Promise<void> {
    const repository = await this.#git(['rev-parse', '--is-shallow-repository'])
    if (repository.code !== 0) {
      throw new Failure('there is no git checkout in the workspace of the runner to push from', {
        seen: repository.stderr.trim(),
        state: 'nothing was changed there.',
        hint: 'run actions/checkout with `fetch-depth: 0` before this step',
      })
    }
    const isShallow = repository.stdout.trim() === 'true'
    const isHere = (await this.#git(['cat-file', '-e', `${sha}^{commit}`])).code === 0
    if (isHere && !isShallow) return
    const deepen = isShallow ? ['--unshallow'] : []
    const fetched = await this.#git(['fetch', '-q', '--no-tags', ...deepen, 'origin', sha])
    if (fetched.code === 0) return
    throw new Failure(
      isHere
        ? 'the checkout on the runner is shallow and could not be deepened'
        : `the commit ${sha} is not in the checkout on the runner`,
      {
        seen: fetched.stderr.trim(),
        state: 'the checkout on the server and what runs are as they were.',
        hint: 'give actions/checkout `fetch-depth: 0`',
      },
    )
  }

  /** Those objects that are here, too: others cannot be built upon. */
  async #present(ids: readonly string[]): Promise<string[]> {
    if (ids.length === 0) return []
    const { stdout } = await this.#git(['cat-file', '--batch-check'], `${ids.join('\n')}\n`)
    return stdout.split('\n').flatMap((line) => /^([0-9a-f]{40,64}) (?:commit|tag) /.exec(line)?.[1] ?? [])
  }

  #git(args: readonly string[], input = ''): Promise<Output> {
    const child = this.#start(args)
    child.stdin.end(input)
    return outcome(child, true, this.#signal)
  }

  #start(args: readonly string[]): ChildProcessByStdio<Writable, Readable, Readable> {
    if (this.#signal.aborted) throw cancelled(this.#signal)
    const env = { ...programEnvironment(), GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' }
    const child = spawn('git', ['-C', this.#folder, ...args], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
      signal: this.#signal,
    })
    // git that ends before it has read everything: its exit code tells more.
    child.stdin.on('error', () => {})
    return child
  }
}

function outcome(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  keepStdout: boolean,
  signal: AbortSignal,
): Promise<Output> {
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = []
    let stderr = ''
    if (keepStdout) child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('utf8')).slice(-4096)
    })
    child.once('error', (error) => reject(signal.aborted ? cancelled(signal) : error))
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout).toString('utf8'), stderr }))
  })
}
