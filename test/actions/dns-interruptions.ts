// The points of a flip of www (canary) and api at which it is broken off, and how it is brought to each of them.
import type { ActionRun } from '../harness/action-run.ts'
import { gate } from './command-gate.ts'
import { type ApiGate, readsAfter, writes } from './dns-api-gate.ts'
import { NEW, OLD, ZONE } from './dns-scene.ts'

const WWW = `www.${ZONE}`
const API = `api.${ZONE}`

export interface Arrival {
  readonly inputs: Record<string, string>
  /** Resolves when the run is at the point, where it stays. */
  reached(run: ActionRun): Promise<unknown>
  /** Lets a request go on that must come to its end. */
  release(): void
  remove(): void
}

export interface Point {
  readonly name: string
  /** Prepares one run that is to stop there. */
  prepare(api: ApiGate, lagging: string): Arrival
  /** The values that www and api have there. */
  readonly values: readonly [string, string]
  /** The names that the run has told its last step of, in this order. */
  readonly told: readonly string[]
}

const arrival = (inputs: Record<string, string>, reached: Arrival['reached']): Arrival => ({
  inputs,
  reached,
  release: () => {},
  remove: () => {},
})

/** At a request to the provider. */
const atRequest =
  (match: Parameters<ApiGate['hold']>[0], when: 'before' | 'answered', inputs = {}): Point['prepare'] =>
  (api) => {
    const held = api.hold(match, when)
    return { ...arrival(inputs, () => held.reached), release: held.release }
  }

/** At a line of the log. */
const atLine =
  (line: RegExp, inputs: (lagging: string) => Record<string, string>): Point['prepare'] =>
  (_, lagging) =>
    arrival(inputs(lagging), (run) => run.waitForLog(line))

/** In a command on the runner. */
const inCommand =
  (input: 'verify' | 'after-flip'): Point['prepare'] =>
  () => {
    const wait = gate()
    const inputs = { [input]: wait.command }
    return { ...arrival(inputs, (run) => run.waitForLog(/at the gate: www/)), remove: wait.remove }
  }

const wwwNew = writes(WWW, NEW)

export const POINTS: readonly Point[] = [
  {
    name: 'before the plan',
    prepare: atRequest(() => true, 'before'),
    values: [OLD, OLD],
    told: [],
  },
  {
    name: 'between plan and write',
    prepare: atRequest(wwwNew, 'before'),
    values: [OLD, OLD],
    told: [WWW],
  },
  {
    name: 'with a write carried out, but not answered',
    prepare: atRequest(wwwNew, 'answered'),
    values: [NEW, OLD],
    told: [WWW],
  },
  {
    name: 'before the write is read back',
    prepare: atRequest(readsAfter(WWW, wwwNew), 'before'),
    values: [NEW, OLD],
    told: [WWW],
  },
  {
    name: 'in the proof at the name servers',
    prepare: atLine(/waiting for the name servers/, (lagging) => ({ nameservers: lagging })),
    values: [NEW, OLD],
    told: [WWW],
  },
  {
    name: 'in `verify`',
    prepare: inCommand('verify'),
    values: [NEW, OLD],
    told: [WWW],
  },
  {
    name: 'between the canary and the rest',
    prepare: atRequest(readsAfter(API, wwwNew), 'before'),
    values: [NEW, OLD],
    told: [WWW, API],
  },
  {
    name: 'in the write of the rest',
    prepare: atRequest(writes(API, NEW), 'answered'),
    values: [NEW, NEW],
    told: [WWW, API],
  },
  {
    name: 'while it is watched',
    prepare: atLine(/watching for 600 s/, () => ({ watch: '10m' })),
    values: [NEW, NEW],
    told: [WWW, API],
  },
  {
    name: 'in `after-flip`',
    prepare: inCommand('after-flip'),
    values: [NEW, NEW],
    told: [WWW, API],
  },
  {
    name: 'before a revert is written',
    prepare: atRequest(writes(WWW, OLD), 'before', { verify: 'false' }),
    values: [NEW, OLD],
    told: [WWW],
  },
  {
    name: 'with a revert carried out, but not answered',
    prepare: atRequest(writes(WWW, OLD), 'answered', { verify: 'false' }),
    values: [OLD, OLD],
    told: [WWW],
  },
]
