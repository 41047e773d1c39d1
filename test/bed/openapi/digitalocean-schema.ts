// DigitalOcean's published OpenAPI description of its domain paths. It lies beside the project, not in it: a clone
// alone has a server that checks requests by its own rules only.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Description } from './description.ts'

export const digitalOceanFile = join(
  import.meta.dirname,
  '../../../../shared/openapi/digitalocean-domains.json',
)

/** Undefined in a clone alone. */
export const digitalOceanDescription = existsSync(digitalOceanFile)
  ? new Description(JSON.parse(readFileSync(digitalOceanFile, 'utf8')))
  : undefined
