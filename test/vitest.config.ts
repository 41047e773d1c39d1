import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** They import JSON without saying so, which Node itself refuses; their source maps lead to files that they lack. */
const inlined = /@actions\/(languageservice|workflow-parser)\/.*\.js$/

const all = 'test/**/*.test.ts'
/** What needs a rate of requests, or is broken off in the middle of a given time: a processor for each. */
const measured = ['test/actions/consul-{broken-off,restart}.test.ts', 'test/actions/dns-flip.load.test.ts']
/** They take longest, so they begin first. The size of a file, which decides otherwise, tells little of that. */
const long = /\/(consul-(access|canary|kills|outage)|git-pull-build-up\..*|rollouts|.*\.kill(ed)?)\.test\.ts$/

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => long.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  root: join(import.meta.dirname, '..'),
  plugins: [
    {
      name: 'without-source-maps',
      enforce: 'pre',
      load: (id) =>
        inlined.test(id) ? readFileSync(id, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '') : undefined,
    },
  ],
  test: {
    globalSetup: ['test/bed/global-setup.ts'],
    server: { deps: { inline: [inlined] } },
    pool: 'forks',
    testTimeout: 90_000,
    hookTimeout: 90_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: { name: 'measured', include: measured, maxWorkers: 2, sequence: { groupOrder: 0 } },
      },
      // Half of their time is spent waiting.
      {
        extends: true,
        test: {
          name: 'other',
          include: [all],
          exclude: measured,
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
