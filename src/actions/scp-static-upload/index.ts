import process from 'node:process'
import { isMainThread } from 'node:worker_threads'
import { SourceThread } from '../../release/source-thread.ts'
import { readGitHubContext } from '../../runner/github-context.ts'
import { InputReader, parseInputs } from '../../runner/input-reader.ts'
import { readSourceOrder } from './source-inputs.ts'

if (isMainThread) {
  const reader = sourceThread()
  void import('./main.ts').then(({ runUpload }) => runUpload(reader))
} else {
  void import('../../release/source-reader.ts').then(({ carryOutOrder }) => carryOutOrder())
}

/** At work while the rest is loaded, which is also what checks the inputs and says what is wrong with them. */
function sourceThread(): SourceThread {
  const { env, argv } = process
  const read = new InputReader(parseInputs(env['INPUTS']) ?? {}, () => {})
  const reader = new SourceThread(argv[1] ?? '', readSourceOrder(read, readGitHubContext(env).workspace))
  if (argv[2] !== 'settle' && read.text('source') !== '') reader.start()
  return reader
}
