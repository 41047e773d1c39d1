// What an act of the demo leaves: the load it ran under and what happened meanwhile.
import type { LoadReport } from '../bed/load.ts'

/** A stretch of time in one lane below the chart; times are milliseconds since 1970. */
export interface Span {
  lane: string
  kind: 'drained' | 'restarting' | 'working'
  from: number
  to: number
  label: string
}

export interface Mark {
  at: number
  label: string
}

export interface Act {
  title: string
  /** One sentence on what the viewer sees. */
  what: string
  load: LoadReport
  spans: Span[]
  marks: Mark[]
  /** Whether failed requests are what this act is there to show. */
  control: boolean
}

/** Says what happens, as it happens. */
export type Say = (line: string) => void

/** Whether the act shows what it is there to show. */
export function holds({ load, control }: Act): boolean {
  return control ? load.failed > 0 : load.failed === 0 && load.sent > 0
}

/** The timeline of an act as lines of text: what happened when, in seconds since its begin. */
export function timelineText(act: Act): string[] {
  const seconds = (at: number) => `${((at - act.load.startedAt) / 1000).toFixed(1).padStart(6)} s`
  const events = [
    ...act.marks.map(({ at, label }) => ({ at, text: label })),
    ...act.spans.map(({ lane, from, to, label }) => ({
      at: from,
      text: `${lane}: ${label} (${((to - from) / 1000).toFixed(1)} s)`,
    })),
  ]
  return events.sort((a, b) => a.at - b.at).map(({ at, text }) => `${seconds(at)}  ${text}`)
}

/** One line with the figures that count. */
export function figures({ load }: Act): string {
  const rate = Math.round(load.sent / (load.durationMs / 1000))
  const nodes = Object.entries(load.byNode).map(([node, count]) => `${node} ${count}`)
  const reasons = Object.entries(load.byReason).map(([reason, count]) => `${count} x ${reason}`)
  const failed = load.failed === 0 ? '0 failed' : `${load.failed} FAILED (${reasons.join(', ')})`
  return `${load.sent} requests at ${rate}/s, ${failed}; answered by ${nodes.join(', ')}`
}
