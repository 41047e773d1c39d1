// scp-static-upload beside what people use today: everything in one run, medians, every tree compared.
// Options: --links=loopback,40ms,fat  --sites=S1,S2,S3  --runs=3  --only=<part of a contender's name>
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { startSshd } from '../bed/sshd.ts'
import { type Contender, contenders } from './contenders.ts'
import { type Link, linkProblem, loopback, openLink } from './link.ts'
import { growSite, type SiteName, sites, touchAll } from './sites.ts'

const option = (name: string, fallback: string): string =>
  process.argv.find((one) => one.startsWith(`--${name}=`))?.split('=')[1] ?? fallback
const RUNS = Number(option('runs', '3'))
const REFERENCE = 'rsync -az'

const links: Readonly<Record<string, { open(): Link; sites: readonly SiteName[] }>> = {
  loopback: { open: () => loopback, sites: ['S1', 'S2', 'S3', 'S4'] },
  '40ms': { open: () => openLink(100, 20, 1_000_000), sites: ['S1', 'S2', 'S3'] },
  fat: { open: () => openLink(1000, 50, 16_000_000), sites: ['S3'] },
}

const work = mkdtempSync(join(option('folder', tmpdir()), 'evenkeel-bench-'))
process.once('exit', () => rmSync(work, { recursive: true, force: true }))

for (const name of option('links', Object.keys(links).join(',')).split(',')) {
  const problem = name === 'loopback' ? undefined : linkProblem()
  const entry = links[name]
  if (entry === undefined) throw new Error(`no link '${name}': there are ${Object.keys(links).join(', ')}`)
  if (problem !== undefined) {
    console.log(`${name}: left out, ${problem}`)
    continue
  }
  const chosen = option('sites', entry.sites.join(','))
    .split(',')
    .filter((site) => entry.sites.some((one) => one === site)) as SiteName[]
  const link = entry.open()
  const server =
    link.server === undefined
      ? {}
      : { by: ['ip', 'netns', 'exec', link.server], host: link.address, port: 2222 }
  const sshd = await startSshd(server)
  writeFileSync(join(sshd.home, '..', 'known_hosts'), sshd.knownHostsLines)
  try {
    for (const site of chosen) measureSite(name, link, site, contenders(sshd, link.address))
  } finally {
    await sshd.stop()
    link.close()
  }
}

function measureSite(name: string, link: Link, site: SiteName, all: readonly Contender[]): void {
  const wanted = all
    .filter((one) => one.name.includes(option('only', '')))
    .filter((one) => !one.isPerFile || link.client === undefined || site !== 'S1')
  const source = join(work, 'source')
  growSite(source, sites[site])
  const cold = new Map<string, number[]>()
  const delta = new Map<string, number[]>()
  const note = (times: Map<string, number[]>, one: Contender, ms: number) =>
    times.set(one.name, [...(times.get(one.name) ?? []), ms])
  let run = 0
  // A large site over a slow link takes half a minute each time, `scp -r` a minute: once is enough of what is not
  // compared in a ratio.
  const isFar = link.client !== undefined
  const isLong = (one: Contender) => site === 'S4' || (isFar && (site === 'S3' || one.isPerFile === true))
  for (let round = 0; round < RUNS; round++) {
    for (const one of inTurn(wanted, round).filter(
      (each) => round === 0 || !isLong(each) || each.isCompared,
    )) {
      // Always a new one: file systems take their time to give inodes out again that have just been freed.
      const folder = join(work, `cold-${run}`)
      mkdirSync(folder)
      note(cold, one, measure(link, one, folder, source, run++))
      if (isLarge(site)) rmSync(folder, { recursive: true })
    }
  }
  if (!isLarge(site)) {
    const deltas = wanted.filter(({ isDelta }) => isDelta)
    const folderOf = (at: number) => join(work, `target-${at}`)
    for (const [at, one] of deltas.entries()) {
      mkdirSync(folderOf(at))
      measure(link, one, folderOf(at), source, run++)
    }
    for (let round = 0; round < RUNS; round++) {
      touchAll(source, sites[site])
      for (const [at, one] of inTurn([...deltas.entries()], round)) {
        note(delta, one, measure(link, one, folderOf(at), source, run++))
      }
    }
    for (const at of deltas.keys()) rmSync(folderOf(at), { recursive: true, force: true })
  }
  const colds = readdirSync(work).filter((folder) => folder.startsWith('cold-'))
  for (const folder of colds) rmSync(join(work, folder), { recursive: true })
  show(`${site} cold, ${name}`, cold)
  if (delta.size > 0) show(`${site} 1% changed, fresh mtimes, ${name}`, delta)
}

/** Forwards and backwards by turns: what ran before one leaves its mark on it (caches, memory to be given back). */
function inTurn<T>(all: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? all : all.toReversed()
}

/** A few large files, of which no share changes. */
function isLarge(site: SiteName): boolean {
  return site === 'S3' || site === 'S4'
}

function measure(link: Link, one: Contender, folder: string, source: string, run: number): number {
  const command = ['bash', '-o', 'pipefail', '-c', one.script, 'bench', folder, source, String(run)]
  const [program = '', ...args] =
    link.client === undefined ? command : ['ip', 'netns', 'exec', link.client, ...command]
  const begun = performance.now()
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { PATH: process.env['PATH'], HOME: work, ...one.env?.(folder, source, run) },
    encoding: 'utf8',
  })
  const took = performance.now() - begun
  if (status !== 0) throw new Error(`${one.name} ended with ${status}:\n${stdout}\n${stderr}`)
  if (one.tree !== '') checkTree(one, source, join(folder, one.tree.replace('$3', String(run))))
  return took
}

function checkTree(one: Contender, source: string, tree: string): void {
  const { status, stdout } = spawnSync('diff', ['-rq', `${source}/`, `${tree}/`], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${one.name}: the tree is not the source's:\n${stdout}`)
  // Of the folder itself not: the contenders are given one.
  const [wanted, found] = [modesIn(source), modesIn(tree)]
  const wrong = wanted.find((line, at) => line !== found[at])
  if (wrong !== undefined) throw new Error(`${one.name}: another mode than the source's: ${wrong}`)
}

/** A line for everything in a folder: path, kind and mode. */
function modesIn(folder: string): string[] {
  const { status, stdout, stderr } = spawnSync('find', ['.', '-mindepth', '1', '-printf', '%p %y %m\\n'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (status !== 0) throw new Error(`the modes in ${folder} cannot be read: ${stderr}`)
  return stdout.split('\n').sort()
}

function show(title: string, times: ReadonlyMap<string, readonly number[]>): void {
  const median = (list: readonly number[] = []) =>
    [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
  const reference = median(times.get(REFERENCE))
  console.log(`\n${title} (medians)`)
  console.table(
    Object.fromEntries(
      [...times].map(([name, list]) => [
        name,
        {
          seconds: Number((median(list) / 1000).toFixed(3)),
          [`to ${REFERENCE}`]: Number((median(list) / reference).toFixed(2)),
          runs: list.length,
        },
      ]),
    ),
  )
}
