import { type ByteString, toByteString } from '../ssh/byte-string.ts'
import { compactScript } from '../ssh/compact-script.ts'
import { quote } from '../ssh/quote.ts'
import type { Block, BlockOptions } from '../ssh/remote-shell.ts'
import { IN_PLACE_CODE } from './in-place-code.ts'
import { RELEASES_CODE } from './releases-code.ts'
import { COMMON_CODE, type RemoteCode } from './remote-code.ts'
import type { BeginOptions, Look, SiteMode, SiteSettings } from './site-host.ts'

/** A step on the server. */
export interface Script extends Block, BlockOptions {
  /** Shell variables, quoted. */
  readonly values?: Readonly<Record<string, ByteString>>
}

export function blockOf({ values = {}, code, prelude, sequel }: Script): Block {
  return {
    code: `${assignments(values)}\n${code}`,
    prelude: prelude ?? '',
    ...(sequel === undefined ? {} : { sequel }),
  }
}

/** Where the action keeps its own, from the target on. */
export const statePath = (mode: SiteMode) => (mode === 'atomic' ? 'releases/.evenkeel' : '.evenkeel')

/** Functions of the server's side: those that `begin` needs, or all others. */
export function functions(mode: SiteMode, part: keyof RemoteCode): string {
  const parts = [COMMON_CODE, mode === 'atomic' ? RELEASES_CODE : IN_PLACE_CODE]
  return parts.map((one) => compactScript(one[part])).join('\n')
}

/** Leaves `locked` empty where another run has the lock. */
export const TAKE_LOCK = 'prepared=\nif prepare 2>&1; then prepared=yes; take_lock; fi'

/** How far the server looks at the files themselves. */
const FULL = { stored: '', listed: 'sizes', hashed: 'yes' } as const satisfies Record<Look, string>

/** What `begin` does first; more of the functions are read while nothing waits for the shell. */
export function beginning(
  { target, holder, token, dryRun, mode }: SiteSettings,
  options: BeginOptions,
): Required<Pick<Script, 'prelude' | 'code'>> {
  const variables = {
    root: toByteString(target),
    state_path: statePath(mode),
    hold_text: toByteString(holder.replaceAll(/\s+/g, ' ')),
    token,
    own: options.own ?? '',
    locked: dryRun ? 'not needed' : '',
    release: options.release ?? '',
    dry: dryRun ? 'yes' : '',
    full: FULL[options.look ?? 'stored'],
  }
  const lock = dryRun ? [] : [TAKE_LOCK]
  const guard = dryRun ? [] : ['[ -n "$prepared" ] || fail "the folder cannot be used"']
  const claim = options.release === undefined ? [] : ['claim']
  return {
    prelude: [assignments(variables), functions(mode, 'begin'), ...lock].join('\n'),
    code: [...guard, '[ -n "$locked" ] || exit 0', 'describe', ...claim].join('\n'),
  }
}

/** What cannot be removed is no reason to fail a deploy that stands. */
export function confirmCode(keep: number | undefined): string {
  return keep === undefined ? 'confirm' : 'confirm\nprune || say unpruned'
}

function assignments(values: Readonly<Record<string, ByteString>>): ByteString {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${quote(value)}`)
    .join('\n')
}
