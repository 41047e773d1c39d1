import { ensureServers } from './packages.ts'

/** Fetches the servers once, before any suite: the suites themselves then start at once. */
export default async function setup(): Promise<void> {
  await ensureServers()
}
