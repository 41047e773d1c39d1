import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: join(import.meta.dirname, '..'),
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/bed/global-setup.ts'],
    // They import JSON without saying so, which Node itself refuses.
    server: { deps: { inline: [/@actions\/(languageservice|workflow-parser)/] } },
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
