import { ensureServers } from '../bed/packages.ts'
import { ensureAct } from './act-program.ts'

export default async function setup(): Promise<void> {
  ensureAct()
  await ensureServers()
}
