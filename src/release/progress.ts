import type { Context } from '../context.ts'
import { formatDuration } from '../duration.ts'

export interface Progress {
  readonly bytesOnWire: number
  sent(bytes: number): void
  fileSent(): void
  onWire(bytes: number): void
  end(): void
}

/** A line this often suits a log that is read afterwards. */
const LINE_EVERY_MS = 5_000

/** Counts, and writes a line into the log every few seconds. */
export function trackProgress(total: { files: number; bytes: number }, { log, clock }: Context): Progress {
  const start = clock.monotonic()
  let files = 0
  let bytes = 0
  let wire = 0
  const timer = setInterval(() => {
    const elapsed = clock.monotonic() - start
    const left = bytes > 0 ? `, about ${formatDuration((elapsed / bytes) * (total.bytes - bytes))} left` : ''
    const rate = formatBytes((wire / elapsed) * 1000)
    log.info(
      `uploading: ${files} of ${total.files} files, ${formatBytes(bytes)} of ${formatBytes(total.bytes)}, ${rate}/s on the wire${left}`,
    )
  }, LINE_EVERY_MS)
  return {
    get bytesOnWire() {
      return wire
    },
    sent(count) {
      bytes += count
    },
    fileSent() {
      files++
    },
    onWire(count) {
      wire += count
    },
    end: () => clearInterval(timer),
  }
}

/** `312 B`, `4.1 KB`, `20.3 MB` */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`
  const units = ['KB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3))
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1]}`
}
