// The timeline of the demo as one self-contained HTML page: no script, no font, no image from elsewhere.
import { type Act, figures, holds, type Span } from './act.ts'

const WIDTH = 960
const CHART = { left: 56, right: 16, top: 44, height: 180 }
const LANE_HEIGHT = 22
const PALETTE = ['#3d7dca', '#e8963a', '#4aa77c', '#9a6bc4', '#c9b03f', '#5fb6c9']

/** The whole page. Every text that comes from a run is escaped. */
export function demoPage(acts: readonly Act[]): string {
  const rows = acts.map(
    (act) =>
      `<tr><td><a href="#${anchor(act)}">${escapeHtml(act.title)}</a></td><td class="n">${count(act.load.sent)}</td>` +
      `<td class="n ${act.load.failed === 0 ? 'good' : 'bad'}">${count(act.load.failed)}</td>` +
      `<td>${verdict(act)}</td></tr>`,
  )
  const sections = acts.map(
    (act) =>
      `<section id="${anchor(act)}"><h2>${escapeHtml(act.title)}</h2><p>${escapeHtml(act.what)}</p>${chart(act)}` +
      `<p class="figures">${escapeHtml(figures(act))}</p></section>`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evenkeel: the demo's timeline</title>
<style>${STYLE}</style></head>
<body><main>
<h1>Evenkeel</h1>
<p class="lead">Four deploys on real servers, under load. Each chart shows the requests per second by the node that answered; what failed is red.</p>
<table><thead><tr><th>act</th><th class="n">requests</th><th class="n">failed</th><th></th></tr></thead><tbody>
${rows.join('\n')}
</tbody></table>
${sections.join('\n')}
</main></body></html>
`
}

function verdict(act: Act): string {
  if (!holds(act)) return act.control ? 'nothing failed, though it should' : 'requests were dropped'
  return act.control ? 'the control: this is what a restart without a drain costs' : 'nobody noticed'
}

function chart(act: Act): string {
  const { series, bucketMs, startedAt } = act.load
  // The last bucket is cut short by the end of the load and would look like a drop.
  const buckets = smooth(series.slice(0, -1), Math.max(1, Math.round(300 / bucketMs)))
  const endMs = Math.max(1, buckets.length * bucketMs)
  const nodes = [...new Set(series.flatMap((bucket) => Object.keys(bucket.nodes)))].sort()
  const perSecond = 1000 / bucketMs
  const top = niceCeiling(Math.max(...buckets.map(({ sent }) => sent * perSecond), 1))
  const inner = WIDTH - CHART.left - CHART.right
  const x = (ms: number) => CHART.left + (Math.min(Math.max(ms, 0), endMs) / endMs) * inner
  const y = (rate: number) => CHART.top + CHART.height * (1 - rate / top)

  const below = buckets.map(() => 0)
  const areas = nodes.map((node, index) => {
    const low = [...below]
    const high = buckets.map((bucket, at) => (low[at] ?? 0) + (bucket.nodes[node] ?? 0) * perSecond)
    for (const [at, value] of high.entries()) below[at] = value
    const point = (value: number, at: number) =>
      `${x((at + 0.5) * bucketMs).toFixed(1)},${y(value).toFixed(1)}`
    const points = [...high.map(point), ...low.map(point).reverse()]
    return `<polygon fill="${colour(index)}" points="${points.join(' ')}"><title>${escapeHtml(node)}</title></polygon>`
  })
  const failed = series.flatMap(({ at, failed: dropped }) =>
    dropped === 0
      ? []
      : [
          `<rect class="failed" x="${x(at).toFixed(1)}" width="${Math.max(2, (bucketMs / endMs) * inner).toFixed(1)}" y="${y(Math.min(top, dropped * perSecond)).toFixed(1)}" height="${(CHART.top + CHART.height - y(Math.min(top, dropped * perSecond))).toFixed(1)}"><title>${dropped} failed</title></rect>`,
        ],
  )
  const lanes = [...new Set(act.spans.map(({ lane }) => lane))].sort()
  const lanesTop = CHART.top + CHART.height + 30
  const height = lanesTop + lanes.length * LANE_HEIGHT + 8
  const spans = act.spans.map((span) => spanBar(span, lanes, lanesTop, (at) => x(at - startedAt)))
  const laneNames = lanes.map(
    (lane, index) =>
      `<text class="axis" text-anchor="end" x="${CHART.left - 6}" y="${lanesTop + index * LANE_HEIGHT + 14}">${escapeHtml(shorten(lane, 9))}</text>`,
  )
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(figures(act))}">
${axes(endMs, top, x, y)}${areas.join('')}${failed.join('')}${marks(act, x)}${laneNames.join('')}${spans.join('')}</svg>
<p class="legend">${nodes.map((node, index) => `<span><i style="background:${colour(index)}"></i>${escapeHtml(node)}</span>`).join('')}${act.load.failed > 0 ? '<span><i class="failed-key"></i>failed</span>' : ''}${legendOfSpans(act.spans)}</p>`
}

function axes(endMs: number, top: number, x: (ms: number) => number, y: (rate: number) => number): string {
  const rates = [0, top / 2, top].map(
    (rate) =>
      `<line class="grid" x1="${CHART.left}" x2="${WIDTH - CHART.right}" y1="${y(rate)}" y2="${y(rate)}"/>` +
      `<text class="axis" text-anchor="end" x="${CHART.left - 6}" y="${y(rate) + 4}">${Math.round(rate)}/s</text>`,
  )
  const step = [1, 2, 5, 10, 20, 30, 60].find((seconds) => endMs / 1000 / seconds <= 12) ?? 120
  const times: string[] = []
  for (let second = 0; second * 1000 <= endMs; second += step) {
    const at = x(second * 1000)
    times.push(
      `<text class="axis" text-anchor="middle" x="${at.toFixed(1)}" y="${CHART.top + CHART.height + 18}">${second} s</text>`,
    )
  }
  return rates.join('') + times.join('')
}

/** Vertical lines with their labels in two rows, so that neighbours do not cover each other. */
function marks({ marks: all, load }: Act, x: (ms: number) => number): string {
  const freeFrom = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
  return all
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, label }) => {
      const left = x(at - load.startedAt)
      const width = label.length * 6.2 + 10
      const atEnd = left + width > WIDTH
      const begin = atEnd ? left - width : left
      const row = freeFrom.findIndex((free) => free <= begin)
      if (row >= 0) freeFrom[row] = begin + width
      const y = 14 + Math.max(0, row) * 15
      const text =
        row < 0
          ? ''
          : `<text class="mark" text-anchor="${atEnd ? 'end' : 'start'}" x="${(left + (atEnd ? -4 : 4)).toFixed(1)}" y="${y}">${escapeHtml(label)}</text>`
      return `<g><title>${escapeHtml(label)}</title><line class="mark-line" x1="${left.toFixed(1)}" x2="${left.toFixed(1)}" y1="${y - 8}" y2="${CHART.top + CHART.height}"/>${text}</g>`
    })
    .join('')
}

function spanBar(span: Span, lanes: readonly string[], top: number, x: (at: number) => number): string {
  const left = x(span.from)
  const width = Math.max(3, x(span.to) - left)
  const y = top + lanes.indexOf(span.lane) * LANE_HEIGHT
  const took = `${((span.to - span.from) / 1000).toFixed(1)} s`
  const fits = width > took.length * 6.2
  return (
    `<g><title>${escapeHtml(`${span.lane}: ${span.label}, ${took}`)}</title><rect class="span-${span.kind}" rx="3" x="${left.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${LANE_HEIGHT - 5}"/>` +
    `${fits ? `<text class="span-text" x="${(left + 5).toFixed(1)}" y="${y + 12.5}">${took}</text>` : ''}</g>`
  )
}

function legendOfSpans(spans: readonly Span[]): string {
  const kinds = [...new Set(spans.map(({ kind }) => kind))]
  return kinds.map((kind) => `<span><i class="span-${kind}"></i>${kind}</span>`).join('')
}

/** A centred running mean over `size` buckets: single buckets of 100 ms are jagged at a few hundred requests a second. */
function smooth(
  series: readonly { sent: number; nodes: Record<string, number> }[],
  size: number,
): { sent: number; nodes: Record<string, number> }[] {
  return series.map((_, index) => {
    const first = Math.max(0, index - Math.floor(size / 2))
    const window = series.slice(first, first + size)
    const nodes: Record<string, number> = {}
    for (const bucket of window) {
      for (const [node, n] of Object.entries(bucket.nodes))
        nodes[node] = (nodes[node] ?? 0) + n / window.length
    }
    return { sent: window.reduce((sum, { sent }) => sum + sent, 0) / window.length, nodes }
  })
}

function niceCeiling(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return ([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= value * 1.02) ?? 10) * unit
}

const colour = (index: number) => PALETTE[index % PALETTE.length] ?? '#888'
const shorten = (text: string, length: number) =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text
const count = (value: number) => value.toLocaleString('en-US')
const anchor = (act: Act) => act.title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2733; --dim: #66717e; --paper: #fbfbf9; --line: #dfe3e6; --card: #fff; --red: #d33a2f; --green: #23804f }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecef; --dim: #98a4af; --paper: #14191f; --line: #2d3640; --card: #1b222a; --red: #ff6b5e; --green: #5cc98f } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1rem 4rem }
h1 { margin: 0; font-size: 2.2rem; letter-spacing: -0.02em }
h2 { margin: 0 0 .2rem; font-size: 1.25rem }
.lead { margin: .2rem 0 1.6rem; color: var(--dim); max-width: 46rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; font-size: .95rem }
th { text-align: left; font-weight: 600; color: var(--dim) }
th, td { padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--line) }
.n { text-align: right; font-variant-numeric: tabular-nums }
.good { color: var(--green); font-weight: 600 } .bad { color: var(--red); font-weight: 600 }
a { color: inherit }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.2rem 1.2rem .8rem; margin: 0 0 1.4rem }
section p { margin: 0 0 .6rem; color: var(--dim) }
section .figures { font-size: .85rem; font-variant-numeric: tabular-nums; margin: .4rem 0 0 }
svg { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif }
.axis { fill: var(--dim) } .grid { stroke: var(--line) }
.mark { fill: var(--ink); font-weight: 600 } .mark-line { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; opacity: .55 }
.failed, .failed-key { fill: var(--red); background: var(--red) }
.span-drained { fill: #8fa3b8; background: #8fa3b8 } .span-restarting { fill: #5b3f9e; background: #5b3f9e } .span-working { fill: #7d8fd0; background: #7d8fd0 }
.span-text { fill: #fff; font-weight: 600 }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .85rem }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .4em; vertical-align: -1px }
`
