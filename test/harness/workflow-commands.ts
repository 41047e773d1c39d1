// `::name key=value,...::data` lines on a step's stdout or stderr, parsed as the runner's ActionCommand does.

export interface WorkflowCommand {
  name: string
  properties: Record<string, string>
  data: string
}

const known = new Set([
  'add-mask',
  'add-matcher',
  'add-path',
  'debug',
  'echo',
  'endgroup',
  'error',
  'group',
  'notice',
  'remove-matcher',
  'save-state',
  'set-env',
  'set-output',
  'stop-commands',
  'warning',
])

function unescapeData(text: string): string {
  return text.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%')
}

function unescapeProperty(text: string): string {
  return unescapeData(text.replaceAll('%3A', ':').replaceAll('%2C', ','))
}

/** The command in a line, or undefined: it starts the line but for blanks, and its name must be known. */
export function parseCommand(line: string, resumeToken?: string): WorkflowCommand | undefined {
  const match = /^\s*::([^ :]+)(?: (.*?))?::(.*)$/s.exec(line)
  const name = match?.[1]?.toLowerCase()
  if (!match || name === undefined) return undefined
  if (!known.has(name) && name !== resumeToken?.toLowerCase()) return undefined
  const properties: Record<string, string> = {}
  for (const pair of (match[2] ?? '').trim().split(',')) {
    const equals = pair.indexOf('=')
    if (equals > 0 && equals < pair.length - 1) {
      properties[pair.slice(0, equals)] = unescapeProperty(pair.slice(equals + 1))
    }
  }
  return { name, properties, data: unescapeData(match[3] ?? '') }
}
