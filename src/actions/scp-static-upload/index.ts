import process from 'node:process'
import { isMainThread } from 'node:worker_threads'
import { SourceThread } from '../../release/source-thread.ts'

if (isMainThread) {
  // A thread takes as long to start as the rest takes to load: both at once.
  const start = () => new SourceThread(process.argv[1] ?? '')
  const early = process.argv[2] === 'settle' ? undefined : start()
  void import('./main.ts').then(({ runUpload }) => runUpload(() => early ?? start()))
} else {
  void import('../../release/source-reader.ts').then(({ takeOrder }) => takeOrder())
}
