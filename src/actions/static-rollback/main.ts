import { formatDuration } from '../../duration.ts'
import { activateOnAll, nothingDone } from '../../release/deployment.ts'
import { beginOn } from '../../release/open-site.ts'
import { linksAfterRepair, repair, reportMix } from '../../release/recovery.ts'
import { chooseRelease } from '../../release/rollback.ts'
import { releaseOf } from '../../release/site-state.ts'
import type { Action } from '../../runner/action.ts'
import { plainMarkdown, writeSummary } from '../../runner/summary.ts'
import { checkVantage, healthNeeds, siteHealthCheck } from '../site-health.ts'
import { openHosts, settleSite, siteSettings } from '../site-settle.ts'
import { readRollbackInputs } from './inputs.ts'

export const staticRollback: Action = {
  async main(run) {
    const { context } = run
    const started = context.clock.monotonic()
    const inputs = run.inputs(readRollbackInputs)
    const { target, dryRun } = inputs
    const settings = siteSettings(run, {
      target,
      dryRun,
      mode: 'atomic',
      needsShell: healthNeeds(inputs.health),
    })
    run.saveState({ token: settings.token })
    const options = { lockWaitMs: 0 }
    const outlook = { beginning: () => options }
    const hosts = await openHosts(inputs.hosts, inputs.credentials, settings, context, outlook)
    try {
      const opened = await beginOn(hosts, options, context)
      await checkVantage(hosts, inputs.health)
      const states = opened.map(({ state }) => state)
      const links = dryRun ? linksAfterRepair(states) : await repair(hosts, states, context)
      reportMix(hosts, context)
      const standing = states.map((state, index) => ({
        name: hosts[index]?.name ?? '',
        found: releaseOf(state.current),
        current: releaseOf(links[index] ?? ''),
        releases: state.releases,
      }))
      const release = chooseRelease(inputs.to, standing)
      const previous = standing[0]?.found ?? ''
      const places = standing.map(({ name, found }) => `${name}: ${found ?? 'nothing'} -> ${release}`)
      for (const place of places) context.log.info(dryRun ? `would go back on ${place}` : place)
      if (!dryRun && standing.some(({ current }) => current !== release)) {
        const checkHealth = siteHealthCheck(inputs.health, inputs.credentials, { target, release })
        if (checkHealth === undefined) context.log.info('no health input is given: the health is not checked')
        await activateOnAll(
          hosts,
          {
            release,
            target,
            checkHealth,
            beforeActivate: '',
            afterActivate: '',
            isNew: false,
            done: nothingDone,
            keep: undefined,
          },
          context,
        )
      }
      run.output('release', release)
      run.output('previous-release', previous)
      const took = formatDuration(context.clock.monotonic() - started)
      context.log.info(`done in ${took}${dryRun ? ' (dry run: nothing was changed)' : ''}`)
      await writeSummary(
        `### Static rollback to release ${plainMarkdown(release)}${dryRun ? ' (dry run)' : ''}\n\n${places.map((place) => `- ${plainMarkdown(place)}`).join('\n')}\n\nTook ${took}.\n`,
      )
    } finally {
      await Promise.all(hosts.map((host) => host.close()))
    }
  },

  settle: (run, state) => settleSite(run, state, { ...run.inputs(readRollbackInputs), mode: 'atomic' }),
}
