import type { Context } from '../context.ts'
import { Cancelled, describeError, Failure } from '../failure.ts'
import { advance } from './machine.ts'
import { type Command, isOver, type RolloutEvent, type RolloutState, type Work } from './state.ts'

/** Carries out one piece of work on one node. Rejects when it failed, with a reason for people. */
export type Worker = (work: Work, node: string, signal: AbortSignal) => Promise<void>

export interface RunOptions {
  readonly worker: Worker
  /** Aborts when nothing may be written any more, with a `Failure` as its reason. */
  readonly handsOff: AbortSignal
  /** Called after each change, before the commands that it led to are carried out. */
  readonly onChange: (state: RolloutState) => void
  /** Called with each error as it happens; the state holds its text only. */
  readonly onFailure?: (node: string, work: Work, error: unknown) => void
}

/** After a cancel, how long it may take to put things back before the runner ends the process. */
const PUT_BACK_WITHIN_MS = 6_500

/**
 * Drives the decision maker until all is done that will be: its commands are carried out, several at a time, and what
 * came of each is handed back to it. Never rejects.
 */
export async function runRollout(
  start: RolloutState,
  { worker, handsOff, onChange, onFailure }: RunOptions,
  { signal, clock }: Context,
): Promise<RolloutState> {
  let state = start
  const underWay = new Map<string, AbortController>()
  const queue: RolloutEvent[] = [{ type: 'begin' }]
  let wake = () => {}
  const tell = (event: RolloutEvent) => {
    queue.push(event)
    wake()
  }

  const perform = async (work: Work, node: string) => {
    const controller = new AbortController()
    underWay.set(node, controller)
    try {
      await worker(work, node, controller.signal)
      underWay.delete(node)
      tell({ type: 'done', node, work })
    } catch (error) {
      underWay.delete(node)
      if (controller.signal.aborted) return tell({ type: 'aborted', node, work })
      onFailure?.(node, work, error)
      const reason = error instanceof Failure ? summary(error) : describeError(error)
      tell({ type: 'failed', node, work, reason })
    }
  }
  const carryOut = ({ type, node }: Command) => {
    if (type === 'abort') underWay.get(node)?.abort(new Cancelled('cancelled'))
    else void perform(type, node)
  }

  const over = new AbortController()
  const onCancel = () => {
    tell({ type: 'cancel' })
    const late = 'the run was cancelled and there was no time left to put this node back'
    clock.sleep(PUT_BACK_WITHIN_MS, over.signal).then(
      () => tell({ type: 'hands-off', reason: late }),
      () => {},
    )
  }
  const onHandsOff = () => tell({ type: 'hands-off', reason: summary(handsOff.reason) })
  listen(signal, onCancel, over.signal)
  listen(handsOff, onHandsOff, over.signal)

  for (;;) {
    const event = queue.shift()
    if (event === undefined) {
      if (isOver(state) && underWay.size === 0) break
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      continue
    }
    const step = advance(state, event)
    state = step.state
    onChange(state)
    step.commands.forEach(carryOut)
  }
  over.abort()
  return state
}

function listen(signal: AbortSignal, listener: () => void, until: AbortSignal): void {
  if (signal.aborted) listener()
  else signal.addEventListener('abort', listener, { once: true, signal: until })
}

/** A failure in one line. */
function summary(error: unknown): string {
  if (!(error instanceof Failure)) return describeError(error)
  const { seen } = error.details
  const text = seen ? `${error.message}: ${seen}` : error.message
  return text.replaceAll(/\s*\n\s*/g, ' ')
}
