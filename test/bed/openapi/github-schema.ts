// GitHub's published OpenAPI description (the part that is used here).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Description } from './description.ts'

const file = join(import.meta.dirname, 'github-deployments.json')

export const gitHubDescription = new Description(JSON.parse(readFileSync(file, 'utf8')))
