// act (github.com/nektos/act), which runs workflows on this machine.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

const VERSION = 'v0.2.87'

const folder = () =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'evenkeel', `act-${VERSION}`)

/** Path of act. Throws when `ensureAct` has not been called. */
export const actProgram = (): string => process.env.EVENKEEL_ACT || join(folder(), 'act')

/** Builds act once, by Go. */
export function ensureAct(): void {
  if (existsSync(actProgram())) return
  console.log(`Building act ${VERSION} (once; two minutes at most) ...`)
  mkdirSync(folder(), { recursive: true })
  try {
    execFileSync('go', ['install', `github.com/nektos/act@${VERSION}`], {
      env: { ...process.env, GOBIN: folder() },
      stdio: 'inherit',
    })
  } catch (error) {
    throw new Error(
      `act is needed and could not be built: ${(error as Error).message}. Install Go 1.25 or newer, or set EVENKEEL_ACT to the path of act ${VERSION}.`,
    )
  }
}
