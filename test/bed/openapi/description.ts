// Holds requests and answers against a published OpenAPI description.
import { Ajv, type ValidateFunction } from 'ajv'

interface Parameter {
  name: string
  in: 'path' | 'query'
  required?: boolean
}

interface Operation {
  parameters?: ({ $ref?: string } & Parameter)[]
  requestBody?: { required?: boolean; content: Record<string, unknown> }
  responses: Record<string, { $ref?: string; content?: Record<string, unknown> }>
}

/** The parts of an OpenAPI document that are used here. */
export interface OpenApi {
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, Parameter>>
}

const formats = {
  uri: (text: string) => text === '' || URL.canParse(text),
  'date-time': /^\d{4}-\d\d-\d\dT[\d:]{8}Z$/,
}

const escaped = (text: string) => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'))
const JSON_BODY = escaped('application/json')

export class Description {
  readonly #document: OpenApi
  readonly #ajv = new Ajv({ strict: false, allErrors: true, coerceTypes: false })
  readonly #fromText = new Ajv({ strict: false, coerceTypes: true })
  readonly #compiled = new Map<string, ValidateFunction>()

  constructor(document: OpenApi) {
    this.#document = document
    for (const one of [this.#ajv, this.#fromText]) {
      for (const [name, format] of Object.entries(formats)) one.addFormat(name, format)
      one.addFormat('int64', true)
      one.addFormat('email', true)
      one.addSchema(document, 'api')
    }
  }

  /** Everything that is wrong with a request to the operation at that path template. */
  requestErrors(template: string, method: string, query: URLSearchParams, body: unknown): string[] {
    const operation = this.#document.paths[template]?.[method]
    if (operation === undefined) return [`${method} ${template} is not in the description`]
    const at = `/paths/${escaped(template)}/${method}`
    return [...this.#queryErrors(operation, at, query), ...this.#bodyErrors(operation, at, body)]
  }

  /**
   * Everything that is wrong with an answer; an undescribed status counts as wrong, but for 404: any address may.
   */
  responseErrors(template: string, method: string, status: number, body: unknown): string[] {
    const responses = this.#document.paths[template]?.[method]?.responses
    const key = responses?.[status] === undefined ? 'default' : String(status)
    const response = responses?.[key]
    if (response === undefined) return status === 404 ? [] : [`status ${status} is not in the description`]
    if (response.$ref === undefined && response.content === undefined)
      return body === undefined ? [] : [`answer ${status}: a body where none is expected`]
    const at = response.$ref?.slice(1) ?? `/paths/${escaped(template)}/${method}/responses/${key}`
    return this.#errorsAt(`${at}/content/${JSON_BODY}/schema`, body).map(
      (error) => `answer ${status}: ${error}`,
    )
  }

  #errorsAt(pointer: string, value: unknown, validator = this.#ajv): string[] {
    const key = `${validator === this.#ajv}${pointer}`
    const validate = this.#compiled.get(key) ?? validator.compile({ $ref: `api#${pointer}` })
    this.#compiled.set(key, validate)
    if (validate(value)) return []
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'value'} ${message}`)
  }

  #queryErrors({ parameters = [] }: Operation, at: string, query: URLSearchParams): string[] {
    const known = new Map(
      parameters.map((parameter, index) => {
        const pointer = parameter.$ref === undefined ? `${at}/parameters/${index}` : parameter.$ref.slice(1)
        return [parameter.name ?? this.#nameAt(pointer), pointer]
      }),
    )
    return [...query].flatMap(([name, value]) => {
      const pointer = known.get(name)
      if (pointer === undefined) return [`query parameter ${name} is not in the description`]
      const errors = this.#errorsAt(`${pointer}/schema`, value, this.#fromText)
      return errors.map((error) => `query parameter ${name}: ${error}`)
    })
  }

  #nameAt(pointer: string): string {
    const [, , section = '', component = ''] = pointer.split('/')
    return this.#document.components[section]?.[component]?.name ?? pointer
  }

  #bodyErrors(operation: Operation, at: string, body: unknown): string[] {
    if (operation.requestBody === undefined)
      return body === undefined ? [] : ['a body where none is expected']
    const { schema } = operation.requestBody.content['application/json'] as { schema: unknown }
    const named = namesIn(schema)
    // The description lets unknown properties pass; here they are spelling mistakes.
    const unknown = Object.keys(body ?? {}).filter((key) => !named.has(key))
    return [
      ...this.#errorsAt(`${at}/requestBody/content/${JSON_BODY}/schema`, body).map(
        (error) => `body: ${error}`,
      ),
      ...unknown.map((key) => `body: ${key} is not in the description`),
    ]
  }
}

/** The properties that a schema names at its top level, in whichever of its alternatives. */
function namesIn(schema: unknown): Set<string> {
  const { properties, allOf = [], anyOf = [], oneOf = [] } = schema as Record<string, unknown[] | undefined>
  const inner = [...allOf, ...anyOf, ...oneOf].flatMap((one) => [...namesIn(one)])
  return new Set([...Object.keys(properties ?? {}), ...inner])
}
