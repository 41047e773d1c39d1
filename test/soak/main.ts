// npm run soak -- git [deploys]: many deploys in a row under load; every failed request counts.
import { soakGit } from './git.ts'

const [name = 'git', count = '20'] = process.argv.slice(2)
if (name !== 'git') throw new Error(`no soak ${name}; there is git`)
const failed = await soakGit(Number(count))
process.exitCode = failed === 0 ? 0 : 1
