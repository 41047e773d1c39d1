// Act 1: a site behind nginx is uploaded twice and rolled back.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startLoad } from '../bed/load.ts'
import { startNginx } from '../bed/nginx.ts'
import { startSshd } from '../bed/sshd.ts'
import type { Act, Mark, Say } from './act.ts'
import { loginInputs, mustSucceed } from './steps.ts'

/** Uploads v1, loads the site, uploads v2, goes back to v1. */
export async function staticAct(say: Say): Promise<Act> {
  const scene = mkdtempSync(join(tmpdir(), 'evenkeel-demo-site-'))
  const sshd = await startSshd()
  try {
    const target = join(scene, 'www')
    mkdirSync(target)
    const upload = async (version: string, files: number): Promise<void> => {
      const source = join(scene, `build-${version}`)
      buildSite(source, version, files)
      await mustSucceed('scp-static-upload', { ...loginInputs(sshd), source, target, release: version }, say)
    }
    await upload('v1', 300)
    const nginx = await startNginx({ http: (port) => siteConfig(port, target) })
    try {
      const load = await startLoad({ url: `${nginx.url}/`, rate: 600, expectBody: 'whole page' })
      const marks: Mark[] = []
      const step = async (label: string, work: () => Promise<unknown>): Promise<void> => {
        await load.more(700)
        const from = Date.now()
        await work()
        marks.push({ at: from, label: `${label} begins` }, { at: Date.now(), label: `${label} done` })
      }
      await step('upload of v2', () => upload('v2', 320))
      await step('rollback to v1', () =>
        mustSucceed('static-rollback', { ...loginInputs(sshd), target, to: 'previous' }, say),
      )
      await load.more(700)
      const report = await load.stop()
      return {
        title: 'Static site: two uploads and a rollback',
        what: 'nginx serves current/; each release is activated by one rename, and the way back uploads nothing.',
        load: { ...report, ...byRelease(report) },
        spans: [],
        marks,
        control: false,
      }
    } finally {
      await nginx.stop()
    }
  } finally {
    await sshd.stop()
    rmSync(scene, { recursive: true, force: true })
  }
}

function buildSite(folder: string, version: string, files: number): void {
  mkdirSync(join(folder, 'assets'), { recursive: true })
  writeFileSync(join(folder, 'index.html'), `<h1>${version}</h1>${'.'.repeat(4000)}whole page\n`)
  for (let index = 0; index < files; index++) {
    writeFileSync(join(folder, 'assets', `${index}.txt`), `asset ${index}\n`.repeat(200))
  }
}

/** The header names the release by the folder that nginx really reads from. */
const siteConfig = (port: number, target: string) => `
  server {
    listen 127.0.0.1:${port};
    root ${target}/current;
    add_header x-node $realpath_root;
  }`

type Nodes = Record<string, number>

function byRelease(report: {
  byNode: Nodes
  series: { at: number; sent: number; failed: number; nodes: Nodes }[]
}) {
  const rename = (nodes: Nodes): Nodes =>
    Object.fromEntries(Object.entries(nodes).map(([node, n]) => [node.split('/').pop() ?? node, n]))
  return {
    byNode: rename(report.byNode),
    series: report.series.map((bucket) => ({ ...bucket, nodes: rename(bucket.nodes) })),
  }
}
