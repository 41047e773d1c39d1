// A provider that keeps its record sets in memory: for what no server of the bed has, such as proxied names.
import { type Provider, RecordChanged } from '../../src/dns/provider.ts'
import { isSameSet, type RecordSet } from '../../src/dns/record.ts'

export interface MemoryProvider extends Provider {
  /** What it keeps, by name and type: `www.example.test A`. */
  sets: Map<string, RecordSet>
  /** Each call, such as `read www.example.test` or `write www.example.test A`. */
  calls: string[]
}

export function memoryProvider(initial: readonly RecordSet[]): MemoryProvider {
  const sets = new Map(initial.map((set) => [`${set.name} ${set.type}`, set]))
  const calls: string[] = []
  return {
    name: 'Memory',
    sets,
    calls,
    findZone: async (name) => ({ name, id: name }),
    readRecordSets: async (_zone, names) => {
      calls.push(`read ${names.join(' ')}`)
      return [...sets.values()].filter(({ name }) => names.includes(name))
    },
    writeRecordSet: async (_zone, expected, next) => {
      const key = `${next.name} ${next.type}`
      calls.push(`write ${key}`)
      const current = sets.get(key)
      if (current === undefined || !isSameSet(current, expected))
        throw new RecordChanged(`${key} was changed`)
      sets.set(key, { ...current, values: next.values, ttl: next.ttl })
    },
  }
}
