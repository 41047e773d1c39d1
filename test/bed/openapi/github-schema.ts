// Holds requests and answers against GitHub's published OpenAPI description (the part that is used here).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'

interface Parameter {
  name: string
  in: 'path' | 'query'
  required?: boolean
}

interface Operation {
  parameters: ({ $ref: string } & Parameter)[]
  requestBody?: { required?: boolean; content: Record<string, unknown> }
  responses: Record<string, { $ref?: string; content?: Record<string, unknown> }>
}

const description = JSON.parse(
  readFileSync(join(import.meta.dirname, 'github-deployments.json'), 'utf8'),
) as {
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, Parameter>>
}

const ajv = new Ajv({ strict: false, allErrors: true, coerceTypes: false })
const fromText = new Ajv({ strict: false, coerceTypes: true })
const formats = {
  uri: (text: string) => text === '' || URL.canParse(text),
  'date-time': /^\d{4}-\d\d-\d\dT[\d:]{8}Z$/,
}
for (const one of [ajv, fromText]) {
  for (const [name, format] of Object.entries(formats)) one.addFormat(name, format)
  one.addFormat('int64', true)
  one.addFormat('email', true)
  one.addSchema(description, 'github')
}

const compiled = new Map<string, ValidateFunction>()

function errorsAt(pointer: string, value: unknown, validator = ajv): string[] {
  const key = `${validator === ajv}${pointer}`
  const validate = compiled.get(key) ?? validator.compile({ $ref: `github#${pointer}` })
  compiled.set(key, validate)
  if (validate(value)) return []
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'value'} ${message}`)
}

const escaped = (text: string) => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'))

/** Everything that is wrong with a request to the operation at that path template. */
export function requestErrors(
  template: string,
  method: string,
  query: URLSearchParams,
  body: unknown,
): string[] {
  const operation = description.paths[template]?.[method]
  if (operation === undefined) return [`${method} ${template} is not in the description`]
  const at = `/paths/${escaped(template)}/${method}`
  return [...queryErrors(operation, at, query), ...bodyErrors(operation, at, body)]
}

function queryErrors(operation: Operation, at: string, query: URLSearchParams): string[] {
  const known = new Map(
    operation.parameters.map((parameter, index) => {
      const pointer = parameter.$ref === undefined ? `${at}/parameters/${index}` : parameter.$ref.slice(1)
      return [parameter.name ?? nameAt(pointer), pointer]
    }),
  )
  return [...query].flatMap(([name, value]) => {
    const pointer = known.get(name)
    if (pointer === undefined) return [`query parameter ${name} is not in the description`]
    return errorsAt(`${pointer}/schema`, value, fromText).map((error) => `query parameter ${name}: ${error}`)
  })
}

function nameAt(pointer: string): string {
  const [, , section = '', component = ''] = pointer.split('/')
  return description.components[section]?.[component]?.name ?? pointer
}

function bodyErrors(operation: Operation, at: string, body: unknown): string[] {
  if (operation.requestBody === undefined) return body === undefined ? [] : ['a body where none is expected']
  const pointer = `${at}/requestBody/content/${escaped('application/json')}/schema`
  const schema = (operation.requestBody.content['application/json'] as { schema: { properties: object } })
    .schema
  // The description lets unknown properties pass; here they are spelling mistakes.
  const unknown = Object.keys(body ?? {}).filter((key) => !(key in schema.properties))
  return [
    ...errorsAt(pointer, body).map((error) => `body: ${error}`),
    ...unknown.map((key) => `body: ${key} is not in the description`),
  ]
}

/** Everything that is wrong with an answer; an undescribed status counts as wrong, but for 404: any address may. */
export function responseErrors(template: string, method: string, status: number, body: unknown): string[] {
  const response = description.paths[template]?.[method]?.responses[String(status)]
  if (response === undefined) return status === 404 ? [] : [`status ${status} is not in the description`]
  const at = response.$ref?.slice(1) ?? `/paths/${escaped(template)}/${method}/responses/${status}`
  return errorsAt(`${at}/content/${escaped('application/json')}/schema`, body).map(
    (error) => `answer ${status}: ${error}`,
  )
}
