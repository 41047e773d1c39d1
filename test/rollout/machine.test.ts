import fc from 'fast-check'
import { expect, test } from 'vitest'
import { advance } from '../../src/rollout/machine.ts'
import {
  type Beginning,
  type Command,
  isOver,
  liveBesides,
  newRollout,
  type RolloutEvent,
  type RolloutState,
  type Trial,
  type Work,
} from '../../src/rollout/state.ts'

/** Plays a rollout: choices decide which outstanding work answers next, and how. Checks every step on the way. */
class Play {
  state: RolloutState
  /** What each node is at, by the commands that were given. */
  readonly underWay = new Map<string, { work: Work; aborted: boolean }>()
  readonly log: string[] = []
  readonly restarts = new Map<string, number>()
  readonly reverts = new Map<string, number>()
  readonly proven = new Set<string>()
  /** Canaries that were tried while they were out, and whether all of them were tried in the pool. */
  readonly triedOut = new Set<string>()
  verified = false
  /** Truth: whether a node is in the pool and serves, as the world would have it. */
  readonly inPool = new Map<string, boolean>()
  /** Back in Consul, and not yet seen at the load balancers; and who was so when a node's turn came. */
  readonly unseen = new Set<string>()
  readonly unseenAtTurn = new Map<string, string[]>()
  readonly begun = new Set<string>()
  /** Nodes that the rollout does not touch and that serve: truth, too. What is lost of them is not its doing. */
  #outside: number
  #outsideLost = 0
  /** Events after which nothing may begin. */
  #ended: 'cancel' | 'hands-off' | undefined

  constructor(state: RolloutState) {
    this.state = state
    this.#outside = state.liveOutside
    for (const [name, { beginning }] of state.nodes) this.inPool.set(name, beginning === 'in')
    this.tell({ type: 'begin' })
  }

  tell(event: RolloutEvent): void {
    const wasStopped = this.state.stopped !== undefined
    const wasHandsOff = this.state.handsOff !== undefined
    if (event.type === 'cancel' || event.type === 'hands-off') this.#ended ??= event.type
    if (event.type === 'outside') {
      this.#outsideLost += Math.max(0, this.#outside - event.live)
      this.#outside = event.live
    }
    const { state, commands } = advance(this.state, event)
    this.log.push(JSON.stringify(event), ...commands.map((command) => `  -> ${JSON.stringify(command)}`))
    this.state = state
    for (const command of commands) this.obey(command, wasStopped || state.stopped !== undefined, wasHandsOff)
  }

  obey(command: Command, stopped: boolean, handsOff: boolean): void {
    const { node, type } = command
    if (type === 'abort') {
      const work = this.underWay.get(node)
      if (work) work.aborted = true
      return
    }
    if (handsOff || this.state.handsOff) throw new Error(`${type} ${node} after hands off`)
    if (this.underWay.has(node)) throw new Error(`${type} ${node} while it is at something else`)
    if (this.#ended && ['drain', 'restart', 'revert'].includes(type))
      throw new Error(`${type} ${node} after the ${this.#ended}`)
    const reverting = this.state.nodes.get(node)?.reverting === true
    const over = reverting ? this.state.backStopped !== undefined : stopped
    if (over && ['drain', 'restart', 'revert'].includes(type))
      throw new Error(`${type} ${node} after the stop`)
    this.checkTrial(type, node, reverting)
    if (type === 'confirm') this.unseen.add(node)
    if (type === 'drain') {
      if (liveBesides(this.state, node) < this.state.minLive) throw new Error(`${node} breaks the floor`)
      this.inPool.set(node, false)
      const others =
        [...this.inPool].filter(([one, is]) => is && !this.unseen.has(one)).length + this.#outside
      if (others < this.state.minLive) throw new Error(`${node} goes out while only ${others} others serve`)
    }
    if (!this.unseenAtTurn.has(node)) this.unseenAtTurn.set(node, [...this.unseen])
    if (type === 'restart') {
      if (this.unseenAtTurn.get(node)?.some((one) => this.unseen.has(one)))
        throw new Error(`${node} is restarted while one before it is not seen to be back`)
      if (!this.proven.has(node)) throw new Error(`${node} is restarted before its drain is proven`)
      this.restarts.set(node, (this.restarts.get(node) ?? 0) + 1)
    }
    if (type === 'revert') {
      if (!this.proven.has(node)) throw new Error(`${node} is taken back before its drain is proven`)
      if (!this.state.goingBack) throw new Error(`${node} is taken back for no reason`)
      this.reverts.set(node, (this.reverts.get(node) ?? 0) + 1)
    }
    this.underWay.set(node, { work: type, aborted: false })
    this.log.push(`  live ${[...this.inPool.values()].filter(Boolean).length}`)
    this.checkFloor()
    const busy = [...this.state.nodes.values()].filter(
      ({ phase }) => phase !== 'waiting' && phase !== 'ended',
    )
    if (busy.length > 2 * this.state.batch) throw new Error(`${busy.length} nodes at a time`)
    const out = busy.filter(({ phase }) => phase !== 'confirm')
    if (out.length > this.state.batch) throw new Error(`${out.length} nodes out at a time`)
  }

  checkTrial(type: Work, node: string, reverting: boolean): void {
    const { size, verifyDrained, verify } = this.state.trial
    const names = [...this.state.nodes.keys()]
    const canary = names.indexOf(node) < size
    if (reverting) return
    if (type === 'drain' && !canary && size > 0) {
      const canaries = names.slice(0, size).map((name) => this.state.nodes.get(name))
      if (canaries.some((one) => one?.phase !== 'ended' || one.failure !== undefined))
        throw new Error(`${node} goes before the canaries have passed`)
      if (verify && !this.verified) throw new Error(`${node} goes before the canaries were tried`)
    }
    if (type === 'verify-drained' && (this.inPool.get(node) || !canary))
      throw new Error(`${node} is tried where it should not`)
    if (type === 'undrain' && canary && verifyDrained && this.restarts.has(node) && !this.state.stopped)
      if (!this.triedOut.has(node)) throw new Error(`${node} goes back without having been tried`)
  }

  checkFloor(): void {
    const live = [...this.inPool.values()].filter(Boolean).length + this.#outside + this.#outsideLost
    const began = [...this.state.nodes.values()].filter(({ beginning }) => beginning === 'in').length
    // What was too few before the rollout began is not its doing.
    if (live < Math.min(this.state.minLive, began + this.#outside)) throw new Error(`only ${live} live`)
  }

  answer(pick: number, how: 'done' | 'failed'): void {
    const nodes = [...this.underWay.keys()]
    const node = nodes[pick % nodes.length]
    if (node === undefined) return
    const { work, aborted } = this.underWay.get(node) ?? { work: 'drain' as const, aborted: false }
    this.underWay.delete(node)
    if (work === 'confirm') this.unseen.delete(node)
    const type = aborted ? (how === 'done' ? 'done' : 'aborted') : how
    if (type === 'done') {
      if (work === 'undrain') {
        this.inPool.set(node, true)
        this.proven.delete(node)
      }
      if (work === 'verify-drained') this.triedOut.add(node)
      if (work === 'verify') this.verified = true
      if (work === 'quiet') this.proven.add(node)
    }
    if (type === 'failed') this.tell({ type, node, work, reason: `${work} failed` })
    else this.tell({ type, node, work })
  }
}

const beginnings = fc.constantFrom<Beginning>('in', 'in', 'in', 'out', 'restarted')
const moves = fc.array(
  fc.oneof(
    { weight: 30, arbitrary: fc.record({ move: fc.constant('done' as const), pick: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ move: fc.constant('failed' as const), pick: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.constant({ move: 'cancel' as const, pick: 0 }) },
    { weight: 1, arbitrary: fc.constant({ move: 'hands-off' as const, pick: 0 }) },
    { weight: 3, arbitrary: fc.record({ move: fc.constant('outside' as const), pick: fc.nat(4) }) },
  ),
  { maxLength: 120 },
)
const rollouts = fc.record({
  beginnings: fc.array(beginnings, { minLength: 1, maxLength: 7 }),
  minLive: fc.integer({ min: 1, max: 4 }),
  batch: fc.integer({ min: 1, max: 4 }),
  liveOutside: fc.nat(3),
  trial: fc.record({
    size: fc.nat(3),
    verifyDrained: fc.boolean(),
    bake: fc.boolean(),
    verify: fc.boolean(),
  }),
  onFailure: fc.constantFrom('stop' as const, 'revert' as const),
})

function start({
  beginnings: list,
  ...rest
}: {
  beginnings: Beginning[]
  minLive: number
  batch: number
  liveOutside: number
  trial?: Trial
  onFailure?: 'stop' | 'revert'
}) {
  const nodes = list.map((beginning, index) => ({ name: `n${index}`, beginning }))
  return new Play(newRollout({ ...rest, nodes }))
}

function finish(play: Play): void {
  for (let steps = 0; play.underWay.size > 0; steps++) {
    if (steps > 1000) throw new Error('it does not end')
    play.answer(0, 'done')
  }
}

test('through all interleavings the floor holds, and nothing is restarted twice, unproven, or after a stop', () => {
  fc.assert(
    fc.property(rollouts, moves, (options, list) => {
      const play = start(options)
      for (const { move, pick } of list) {
        if (move === 'cancel') play.tell({ type: 'cancel' })
        else if (move === 'hands-off') play.tell({ type: 'hands-off', reason: 'the lease was lost' })
        else if (move === 'outside') play.tell({ type: 'outside', live: pick })
        else play.answer(pick, move)
      }
      finish(play)
      expect(isOver(play.state), play.log.join('\n')).toBe(true)
      for (const [name, node] of play.state.nodes) {
        expect(play.restarts.get(name) ?? 0, play.log.join('\n')).toBeLessThanOrEqual(
          options.beginnings[[...play.state.nodes.keys()].indexOf(name)] === 'restarted' ? 0 : 1,
        )
        expect(play.reverts.get(name) ?? 0, play.log.join('\n')).toBeLessThanOrEqual(1)
        if (options.onFailure === 'stop') expect(node.reverting).toBe(false)
        // Whoever was taken out is back, or is reported with the reason.
        // Nodes that wait were not begun with, and the rollout says why.
        if (node.phase === 'waiting') expect(play.state.stopped, play.log.join('\n')).toBeDefined()
        if (node.phase === 'ended' && !play.inPool.get(name)) {
          expect(node.failure, play.log.join('\n')).toBeDefined()
          expect(node.out, play.log.join('\n')).toBe(true)
        }
      }
    }),
    { numRuns: 3000 },
  )
})

test('without failures every node is restarted once and ends in the pool', () => {
  fc.assert(
    fc.property(rollouts, (options) => {
      const play = start({ ...options, liveOutside: options.minLive })
      finish(play)
      for (const [name, node] of play.state.nodes) {
        expect(node).toMatchObject({ phase: 'ended', out: false, healthy: true, failure: undefined })
        expect(play.restarts.get(name) ?? 0).toBe(node.beginning === 'restarted' ? 0 : 1)
        expect(play.reverts.get(name)).toBeUndefined()
        expect(play.inPool.get(name)).toBe(true)
      }
    }),
  )
})

test('a rollout that the floor forbids stops and says why', () => {
  const play = start({ beginnings: ['in', 'in'], minLive: 2, batch: 1, liveOutside: 0 })
  expect(play.state.stopped).toBe('n0 cannot go out: 1 others serve, the floor is 2')
  expect(isOver(play.state)).toBe(true)
})

test('while a node is being seen to come back the next one goes out, and is restarted only once it is', () => {
  const play = start({ ...three, batch: 1 })
  bring(play, 'n0', 'confirm')
  bring(play, 'n1', undefined)
  expect(play.state.nodes.get('n1')).toMatchObject({ phase: 'held', out: true, restarted: false })
  expect(play.underWay.has('n2')).toBe(false)
  bring(play, 'n0', undefined)
  expect([...play.underWay]).toEqual([['n1', { work: 'restart', aborted: false }]])
  finish(play)
  expect([...play.restarts.values()]).toEqual([1, 1, 1])
})

test.each(['failed', 'cancel', 'hands-off'] as const)('a node that was held goes back: %s', (how) => {
  const play = start({ ...three, batch: 1 })
  bring(play, 'n0', 'confirm')
  bring(play, 'n1', undefined)
  if (how === 'failed') fail(play, 'n0')
  else play.tell(how === 'cancel' ? { type: how } : { type: how, reason: 'the lease was lost' })
  finish(play)
  expect(play.restarts.get('n1')).toBeUndefined()
  expect(play.inPool.get('n1')).toBe(how !== 'hands-off')
  expect(play.state.nodes.get('n1')).toMatchObject({
    out: how === 'hands-off',
    failure: how === 'hands-off' ? 'the lease was lost' : undefined,
  })
})

test('where the floor does not hold without both, the next node waits until the one before is seen', () => {
  const play = start({ ...three, minLive: 2, batch: 1 })
  bring(play, 'n0', 'confirm')
  expect([...play.underWay.keys()]).toEqual(['n0'])
  bring(play, 'n0', undefined)
  expect([...play.underWay.keys()]).toEqual(['n1'])
})

test('a node that does not become healthy stays out, and the next ones are not touched', () => {
  const play = start({ beginnings: ['in', 'in', 'in'], minLive: 1, batch: 1, liveOutside: 0 })
  for (const how of ['done', 'done', 'done', 'done', 'failed'] as const) play.answer(0, how)
  expect(play.state.nodes.get('n0')).toMatchObject({ phase: 'ended', out: true, failure: 'check failed' })
  expect(play.state.nodes.get('n1')).toMatchObject({ phase: 'waiting' })
  expect(play.state.stopped).toBe('n0: check failed')
})

test('a cancel puts back what was not restarted yet, and brings to its end what was', () => {
  const play = start({ beginnings: ['in', 'in', 'in'], minLive: 1, batch: 2, liveOutside: 0 })
  const answer = (node: string) => play.answer([...play.underWay.keys()].indexOf(node), 'done')
  for (let times = 0; times < 4; times++) answer('n0')
  expect(play.underWay.get('n0')?.work).toBe('check')
  answer('n1')
  play.tell({ type: 'cancel' })
  finish(play)
  expect(play.state.nodes.get('n0')).toMatchObject({ out: false, healthy: true })
  expect(play.state.nodes.get('n1')).toMatchObject({ out: false, restarted: false, failure: undefined })
  expect(play.state.nodes.get('n2')).toMatchObject({ phase: 'waiting' })
})

/** Answers for one node until it is at `work`. */
function bring(play: Play, node: string, work: Work | undefined): void {
  for (let steps = 0; play.underWay.get(node)?.work !== work; steps++) {
    if (steps > 20) throw new Error(`${node} never comes to ${work}: ${play.log.join('\n')}`)
    play.answer([...play.underWay.keys()].indexOf(node), 'done')
  }
}
const fail = (play: Play, node: string) => play.answer([...play.underWay.keys()].indexOf(node), 'failed')
const TRIAL = { size: 1, verifyDrained: true, bake: true, verify: true }
const three = { beginnings: ['in', 'in', 'in'] as Beginning[], minLive: 1, batch: 2, liveOutside: 0 }

test('a canary is tried while it is out, watched, and tried in the pool before any other node goes out', () => {
  const play = start({ ...three, trial: TRIAL })
  const works: (Work | undefined)[] = []
  for (let steps = 0; steps < 10; steps++) {
    works.push(play.underWay.get('n0')?.work)
    expect([...play.underWay.keys()]).toEqual(['n0'])
    play.answer(0, 'done')
  }
  expect(works.join(' ')).toBe('drain prove quiet restart check verify-drained undrain confirm bake verify')
  expect(play.underWay.has('n1')).toBe(true)
  finish(play)
  expect(play.inPool).toEqual(
    new Map([
      ['n0', true],
      ['n1', true],
      ['n2', true],
    ]),
  )
})

test.each([
  ['verify-drained', true],
  ['bake', false],
  ['verify', false],
] as const)('a canary that fails `%s` ends the rollout', (work, out) => {
  const play = start({ ...three, trial: TRIAL })
  bring(play, 'n0', work)
  fail(play, 'n0')
  expect(isOver(play.state)).toBe(true)
  expect(play.state.nodes.get('n0')).toMatchObject({ out, failure: `${work} failed` })
  expect(play.state.nodes.get('n1')).toMatchObject({ phase: 'waiting' })
})

test('what was updated goes back in reverse order, each with a drain of its own, when a node turns out bad', () => {
  const play = start({ ...three, batch: 1, onFailure: 'revert' })
  bring(play, 'n0', undefined)
  bring(play, 'n1', 'check')
  fail(play, 'n1')
  expect([...play.underWay]).toEqual([['n1', { work: 'prove', aborted: false }]])
  bring(play, 'n1', undefined)
  expect([...play.underWay]).toEqual([['n0', { work: 'drain', aborted: false }]])
  finish(play)
  expect(play.reverts).toEqual(
    new Map([
      ['n1', 1],
      ['n0', 1],
    ]),
  )
  expect(play.state.nodes.get('n1')).toMatchObject({ out: false, healthy: true, failure: 'check failed' })
  expect(play.state.nodes.get('n0')).toMatchObject({ out: false, healthy: true, reverting: true })
  expect(play.state.nodes.get('n2')).toMatchObject({ phase: 'waiting' })
})

test('a node that fails on its way back stays out, and no further one goes back', () => {
  const play = start({ ...three, batch: 1, onFailure: 'revert' })
  bring(play, 'n0', undefined)
  bring(play, 'n1', 'restart')
  fail(play, 'n1')
  bring(play, 'n1', 'revert')
  fail(play, 'n1')
  expect(isOver(play.state)).toBe(true)
  expect(play.state.backStopped).toBe('n1: revert failed')
  expect(play.state.nodes.get('n1')).toMatchObject({
    out: true,
    failure: 'restart failed; on its way back: revert failed',
  })
  expect(play.state.nodes.get('n0')).toMatchObject({ out: false, reverting: false })
})

test('a load balancer that does not follow is no reason to take nodes back, nor is a cancel', () => {
  const play = start({ ...three, batch: 1, onFailure: 'revert' })
  bring(play, 'n0', undefined)
  bring(play, 'n1', 'prove')
  fail(play, 'n1')
  finish(play)
  expect(play.state.goingBack).toBe(false)
  const cancelled = start({ ...three, batch: 1, onFailure: 'revert' })
  bring(cancelled, 'n0', 'check')
  cancelled.tell({ type: 'cancel' })
  fail(cancelled, 'n0')
  expect(cancelled.reverts.size).toBe(0)
  expect(isOver(cancelled.state)).toBe(true)
})

test('nodes that are lost elsewhere hold the rollout up, and it goes on when they are back', () => {
  const play = start({ beginnings: ['in', 'in'], minLive: 2, batch: 1, liveOutside: 1 })
  bring(play, 'n0', 'confirm')
  play.tell({ type: 'outside', live: 0 })
  play.answer(0, 'done')
  expect(play.state.stopped).toBe('n1 cannot go out: 1 others serve, the floor is 2')
  const other = start({ beginnings: ['in', 'in', 'in'], minLive: 2, batch: 2, liveOutside: 1 })
  expect([...other.underWay.keys()]).toEqual(['n0', 'n1'].slice(0, other.underWay.size))
  other.tell({ type: 'outside', live: 0 })
  bring(other, 'n0', 'check')
  expect(other.underWay.has('n2')).toBe(false)
  other.tell({ type: 'outside', live: 2 })
  expect(other.underWay.size).toBe(2)
})
