import { type Context, systemClock } from '../../src/context.ts'

/** A context with the real clock whose log can be read and whose signal can be aborted. */
export function recordingContext(): Context & { lines: string[]; abort(): void } {
  const controller = new AbortController()
  const lines: string[] = []
  const push = (line: string) => void lines.push(line)
  return {
    lines,
    abort: () => controller.abort(),
    log: { info: push, warn: push, debug: push },
    clock: systemClock,
    signal: controller.signal,
  }
}
