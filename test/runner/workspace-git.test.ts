import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Cancelled } from '../../src/failure.ts'
import { WorkspaceGit } from '../../src/runner/workspace-git.ts'

test('a cancel while git is at work is told as one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-workspace-'))
  try {
    execFileSync('git', ['init', '-q', folder])
    const controller = new AbortController()
    const answer = new WorkspaceGit(folder, controller.signal).lsRemote('checkout', [])
    controller.abort(new Cancelled('cancelled'))
    await expect(answer).rejects.toBeInstanceOf(Cancelled)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
