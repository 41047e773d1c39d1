import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** They import JSON without saying so, which Node itself refuses; their source maps lead to files that they lack. */
const inlined = /@actions\/(languageservice|workflow-parser)\/.*\.js$/

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
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/bed/global-setup.ts'],
    server: { deps: { inline: [inlined] } },
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 90_000,
    hookTimeout: 90_000,
  },
})
