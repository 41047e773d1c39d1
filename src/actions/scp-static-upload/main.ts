import type { Context } from '../../context.ts'
import { activateOnAll, endingOf, nothingDone, onEach, served } from '../../release/deployment.ts'
import { pathMatcher } from '../../release/glob.ts'
import type { Manifest } from '../../release/manifest.ts'
import { beginOn } from '../../release/open-site.ts'
import { repair, reportMix } from '../../release/recovery.ts'
import type { BeginOptions, Ending, SiteHost } from '../../release/site-host.ts'
import { type Opened, releaseOf } from '../../release/site-state.ts'
import type { SourceThread } from '../../release/source-thread.ts'
import { listSource } from '../../release/source-tree.ts'
import { checkLinked, needsContents, type StageReport, stageOn, withLinked } from '../../release/stage.ts'
import { compressibility } from '../../release/transfer.ts'
import { type Action, type Run, runAction } from '../../runner/action.ts'
import { defaultRelease } from '../../runner/github-context.ts'
import { checkVantage, healthNeeds, siteHealthCheck } from '../site-health.ts'
import { openHosts, settleSite, siteSettings, unixTime } from '../site-settle.ts'
import { readUploadInputs, type UploadInputs } from './inputs.ts'
import { reportUpload } from './report.ts'

/** A site of so many bytes is worth some on the way to it. */
const MUCH = 4_000_000

/** Runs the action, whose source folder `reader` reads. */
export function runUpload(reader: SourceThread): void {
  void runAction(scpStaticUpload(reader))
}

const scpStaticUpload = (reader: SourceThread): Action => ({
  async main(run) {
    const started = run.context.clock.monotonic()
    const inputs = readInputs(run)
    const settings = siteSettings(run, { ...inputs, needsShell: shellNeeds(inputs) })
    run.saveState({ token: settings.token })
    const { context } = run
    // Both at once: the servers are reached and answer while the files are listed and read.
    let files: Manifest | undefined
    const outlook = {
      beginning: () => (files === undefined ? undefined : beginOptions(inputs)),
      sends: !inputs.dryRun,
      willSendMuch: () => !inputs.dryRun && files !== undefined && files.total.bytes >= MUCH,
    }
    const opening = openHosts(inputs.hosts, inputs.credentials, settings, context, outlook)
    opening.catch(() => {})
    const tree = await closingOnFailure(opening, async () => {
      const listed = await listSource(reader, context.signal)
      checkLinked(listed.manifest, inputs.linked)
      files = listed.manifest
      return listed
    })
    // Their failures are taken up below; until then they must not count as unhandled.
    compressibility(tree.manifest, tree).catch(() => {})
    const read = () => context.log.debug(`all ${tree.files} files have been read and hashed`)
    tree.hash().then(read, () => {})
    const hosts = await opening
    try {
      const connectedMs = context.clock.monotonic() - started
      const opened = await begin(hosts, inputs, context)
      await checkVantage(hosts, inputs.health)
      const needsAll =
        inputs.dryRun ||
        inputs.linked.length > 0 ||
        hosts.some((host, index) => needsContents(host, opened[index] as Opened, inputs.release))
      if (needsAll) await tree.hash()
      const site = withLinked(tree.manifest, inputs.linked)
      const previous = releaseOf(hosts[0]?.current ?? '') ?? ''
      const options = {
        ...inputs,
        site,
        isExcluded: pathMatcher(inputs.source.exclude),
        keepAssets: inputs.keepAssets.length > 0 ? pathMatcher(inputs.keepAssets) : undefined,
        mtime: unixTime(),
        ending: ending(inputs),
      }
      const staged = await onEach(hosts, (host, index) =>
        stageOn(host, opened[index] as Opened, tree, options, run.context),
      )
      const changed = inputs.dryRun ? false : await activate(hosts, staged, inputs, run)
      await reportUpload(run, {
        inputs,
        staged,
        previous,
        changed,
        files: tree.files,
        serves: hosts.map(({ current }) => served(current)),
        connectedMs,
        durationMs: run.context.clock.monotonic() - started,
      })
    } finally {
      await Promise.all(hosts.map((host) => host.close()))
    }
  },

  settle: (run, state) => settleSite(run, state, readInputs(run)),
})

function readInputs(run: Run): UploadInputs {
  const { github } = run
  return run.inputs((read) =>
    readUploadInputs(read, { workspace: github.workspace, defaultRelease: defaultRelease(github) }),
  )
}

/** Does the work; where it fails, the connections that were being made are closed again. */
async function closingOnFailure<T>(opening: Promise<SiteHost[]>, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const hosts = await opening.catch(() => [])
    await Promise.all(hosts.map((host) => host.close()))
    throw error
  }
}

/** Locks every host, reads how it stands, and puts right what a dead run left. */
async function begin(hosts: SiteHost[], inputs: UploadInputs, context: Context): Promise<Opened[]> {
  const opened = await beginOn(hosts, beginOptions(inputs), context)
  const states = opened.map(({ state }) => state)
  if (!inputs.dryRun) await repair(hosts, states, context)
  reportMix(hosts, context)
  return opened
}

function beginOptions({ release, lockWaitMs, full, deletion }: UploadInputs): BeginOptions {
  // Only a look at the folder tells what else lies there.
  return { release, lockWaitMs, look: full ? 'hashed' : deletion === 'all' ? 'listed' : 'stored' }
}

/** Inputs that are given and need a shell on the server. */
function shellNeeds({ beforeActivate, afterActivate, owner, health }: UploadInputs): string[] {
  return [
    ...(beforeActivate === '' ? [] : ['before-activate']),
    ...(afterActivate === '' ? [] : ['after-activate']),
    ...(owner === '' ? [] : ['chown']),
    ...healthNeeds(health),
  ]
}

/** Activates unless it is active everywhere already; tells whether anything changed. */
async function activate(
  hosts: readonly SiteHost[],
  staged: readonly StageReport[],
  inputs: UploadInputs,
  run: Run,
): Promise<boolean> {
  const { context } = run
  const { release, target } = inputs
  const arrived = staged.some(({ complete }) => !complete)
  if (!inputs.activate) {
    context.log.info(`release ${release} is ready and not activated, as asked`)
    return arrived
  }
  if (!arrived && hosts.every(({ current }) => releaseOf(current) === release)) {
    context.log.info(`release ${release} is active already, with this very content: nothing to do`)
    return false
  }
  const checkHealth = siteHealthCheck(inputs.health, inputs.credentials, { target, release })
  if (checkHealth === undefined) context.log.info('no health input is given: the health is not checked')
  const done = arrived ? ending(inputs) : nothingDone
  const keep = inputs.keepReleases
  await activateOnAll(hosts, { ...inputs, checkHealth, isNew: true, keep, done }, context)
  return true
}

function ending({ activate, hosts, health, keepReleases, ...hooks }: UploadInputs): Ending {
  if (!activate) return nothingDone
  return endingOf(hosts.length, { ...hooks, keep: keepReleases, hasCheck: health.check !== undefined })
}
