import process from 'node:process'
import { isMainThread } from 'node:worker_threads'
import { SourceThread } from '../../release/source-thread.ts'

if (isMainThread) {
  const reader = new SourceThread(process.argv[1] ?? '')
  // A thread takes as long to start as the rest takes to load: both at once.
  if (process.argv[2] !== 'settle') reader.start()
  void import('./main.ts').then(({ runUpload }) => runUpload(reader))
} else {
  void import('../../release/source-reader.ts').then(({ takeOrder }) => takeOrder())
}
