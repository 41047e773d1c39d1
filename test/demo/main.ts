// `npm run demo`: the four deploys on real servers, under load, with a timeline in the terminal and in demo.html.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensureServers } from '../bed/packages.ts'
import { type Act, figures, holds, timelineText } from './act.ts'
import { dnsAct } from './act-dns.ts'
import { gitAct } from './act-git.ts'
import { rollingActs } from './act-rolling.ts'
import { staticAct } from './act-static.ts'
import { demoPage } from './page.ts'

const page = join(import.meta.dirname, '../../demo.html')
const say = (line: string) => console.log(`   ${line}`)

console.log('Getting the servers ready (sshd, nginx, Consul, PowerDNS) ...')
await ensureServers()
const acts: Act[] = []
for (const [title, play] of [
  ['A static site is uploaded twice and rolled back', async () => [await staticAct(say)]],
  ['An app is pulled from git, built and brought up', async () => [await gitAct(say)]],
  ['Three nodes are restarted behind nginx and Consul, then again without a drain', () => rollingActs(say)],
  ['Two names move to the new machine', async () => [await dnsAct(say)]],
] as const) {
  console.log(`\n${title}`)
  acts.push(...(await play()))
}

for (const act of acts) {
  console.log(`\n${act.title}\n   ${figures(act)}`)
  for (const line of timelineText(act)) say(line)
}
writeFileSync(page, demoPage(acts))
console.log(`\nThe same as a picture: ${pathToFileURL(page)}`)

const wrong = acts.filter((act) => !holds(act))
for (const act of wrong) console.error(`NOT as it should be: ${act.title}: ${figures(act)}`)
process.exit(wrong.length === 0 ? 0 : 1)
