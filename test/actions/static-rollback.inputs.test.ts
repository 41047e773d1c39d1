import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest'
import { type Sshd, startSshd } from '../bed/sshd.ts'
import { describeInputs, expectFailure, expectSuccess } from '../harness/input-cases.ts'
import { healthInputCases } from './health-input-cases.ts'
import { sshInputCases } from './ssh-input-cases.ts'
import { StaticSite, treeOf } from './static-site.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(() => sshd?.stop())

async function siteWithReleases(...releases: string[]): Promise<StaticSite> {
  const site = new StaticSite(sshd)
  onTestFinished(() => site.remove())
  for (const release of releases) {
    site.write({ 'index.html': release })
    expectSuccess(await site.upload(release))
  }
  return site
}

async function rollback(overrides: Record<string, string>) {
  const site = await siteWithReleases('r1', 'r2')
  return site.rollback(overrides)
}

describeInputs('static-rollback', {
  ...sshInputCases(() => sshd, rollback),
  ...healthInputCases(rollback),
  target: async () => {
    const site = await siteWithReleases('r1')
    expectFailure(await site.rollback({ target: join(site.target, 'elsewhere') }), /no release is served/)
  },
  to: async () => {
    const site = await siteWithReleases('r1', 'r2', 'r3')
    expectSuccess(await site.rollback({ to: 'r1' }))
    expect(site.served('index.html')).toBe('r1')
    expectFailure(await site.rollback({ to: 'r9' }), /there is no release 'r9'/, /r3, r2, r1 \(served now\)/)
    expect(site.served('index.html')).toBe('r1')
  },
  'dry-run': async () => {
    const site = await siteWithReleases('r1', 'r2')
    const before = treeOf(site.target)
    const result = await site.rollback({ 'dry-run': 'true' })
    expectSuccess(result)
    expect(result.log).toContain('r2 -> r1')
    expect(treeOf(site.target)).toEqual(before)
  },
})
