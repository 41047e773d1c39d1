// Cuts the deployments part out of GitHub's OpenAPI description, which is too big to install (450 MB):
//   npm pack @octokit/openapi@<version> && tar xzf octokit-openapi-*.tgz
//   node test/bed/openapi/cut-github.ts package > test/bed/openapi/github-deployments.json
//   npm run format
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const [folder = ''] = process.argv.slice(2)
const whole = JSON.parse(readFileSync(join(folder, 'generated', 'api.github.com.json'), 'utf8'))
const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const components: Record<string, Record<string, Json>> = {}
const paths: Record<string, Record<string, Json>> = {}
for (const [path, methods] of [
  ['/repos/{owner}/{repo}/deployments', ['get', 'post']],
  ['/repos/{owner}/{repo}/deployments/{deployment_id}', ['get']],
  ['/repos/{owner}/{repo}/deployments/{deployment_id}/statuses', ['get', 'post']],
] as const) {
  paths[path] = Object.fromEntries(methods.map((method) => [method, take(whole.paths[path][method])]))
}
const cut = {
  openapi: whole.openapi,
  info: { title: whole.info.title, version: whole.info.version, license: whole.info.license },
  'x-source': `${name}@${version} (${license}, Copyright (c) 2020 Octokit contributors), generated/api.github.com.json`,
  paths,
  components,
}
process.stdout.write(`${JSON.stringify(cut, undefined, 1)}\n`)

/** A copy without prose and examples; what it refers to is copied into the components. */
function take(value: Json): Json {
  if (Array.isArray(value)) return value.map(take)
  if (typeof value !== 'object' || value === null) return value
  const copy: { [key: string]: Json } = {}
  for (const [key, inner] of Object.entries(value)) {
    const prose = key === 'description' || key === 'example' || key === 'examples' || key === 'externalDocs'
    // `description` is also the name of a property, whose value is a schema.
    if ((prose && !(key === 'description' && typeof inner === 'object')) || key.startsWith('x-')) continue
    if (key === '$ref') include(String(inner))
    copy[key] = take(inner)
  }
  return copy
}

function include(reference: string): void {
  const [, , section = '', component = ''] = reference.split('/')
  components[section] ??= {}
  if (component in components[section]) return
  components[section][component] = {}
  components[section][component] = take(whole.components[section][component])
}
