// What the runner hides in logs and summaries: each secret in the forms in which programs tend to print it.

function base64Forms(value: string): string[] {
  // A secret within a longer base64 text starts at one of three offsets. Its last one or two bytes are left out:
  // how they look depends on what follows.
  const bytes = Buffer.from(value)
  return [0, 1, 2].map((shift) => {
    const whole = Math.floor(Math.max(0, bytes.length - shift) / 3) * 3
    return bytes.subarray(shift, shift + whole).toString('base64')
  })
}

function formsOf(value: string): string[] {
  const json = JSON.stringify(value).slice(1, -1)
  const xml = value.replace(
    /[&<>"']/g,
    (c) => `&${{ '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }[c]};`,
  )
  const expression = value.replaceAll("'", "''")
  return [value, json, encodeURIComponent(value), xml, expression, ...base64Forms(value)]
}

export class Masks {
  /** The secrets as they were given, in their order. */
  readonly values: string[] = []
  readonly #forms = new Set<string>()

  /** Hides a value, and each of its lines, from now on; empty text is not hidden. */
  add(value: string): void {
    if (value.trim() === '') return
    if (!this.values.includes(value)) this.values.push(value)
    for (const part of [value, ...value.split(/[\r\n]+/).map((line) => line.trim())]) {
      for (const form of part === '' ? [] : formsOf(part)) if (form !== '') this.#forms.add(form)
    }
  }

  /** The text with every hidden value replaced by `***`; overlapping finds become one. */
  mask(text: string): string {
    const found: [start: number, end: number][] = []
    for (const form of this.#forms) {
      for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + 1))
        found.push([at, at + form.length])
    }
    found.sort((a, b) => a[0] - b[0])
    let shown = ''
    let done = 0
    let hiddenTo = -1
    for (const [start, end] of found) {
      if (start > hiddenTo) shown += `${text.slice(done, start)}***`
      hiddenTo = Math.max(hiddenTo, end)
      done = hiddenTo
    }
    return shown + text.slice(done)
  }
}
