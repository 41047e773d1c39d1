// Asks a name server without pause, to see every state that a record is in.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

export interface Reader {
  /** Ends it; what was answered: rcode and addresses. */
  stop(): Promise<{ answers: number; kinds: Set<string> }>
}

/** A thread of its own: the test's own work does not slow it down. Several questions are on their way at any time. */
export function startReader(server: { address: string; port: number }, names: string[]): Reader {
  const worker = new Worker(new URL('./dns-reader-thread.ts', import.meta.url), {
    workerData: { address: server.address, port: server.port, names },
  })
  return {
    stop: async () => {
      worker.postMessage('stop')
      const [report] = (await once(worker, 'message')) as [{ answers: number; kinds: string[] }]
      await worker.terminate()
      return { answers: report.answers, kinds: new Set(report.kinds) }
    },
  }
}
