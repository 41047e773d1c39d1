import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { drainedValue, LONGEST_VALUE_BYTES, parseValue } from '../../src/consul/upstream-value.ts'

describe('reading a value as nginx-upsync does', () => {
  test.each(['1', 'true', '"1"', '1.5'])('down: %s is down', (down) => {
    expect(parseValue(`{"weight":1,"down":${down}}`)).toMatchObject({ down: true })
  })
  test.each(['"true"', '2', '-1', '0.5', 'null', 'false', '0'])('down: %s is up', (down) => {
    expect(parseValue(`{"weight":1,"down":${down}}`)).toMatchObject({ down: false })
  })
  test('a missing field is up', () => {
    expect(parseValue('{}')).toEqual({ down: false, owner: undefined })
  })
  test.each([
    ['', /not a JSON object/],
    ['{"down":01}', /not a JSON object/],
    ['[1]', /not a JSON object/],
    ['null', /not a JSON object/],
    ['{"down":1,}', /not a JSON object/],
    ['{"down":0,"down":1}', /twice/],
    ['{"down":0,"DOWN":1}', /twice/],
    ['{"Down":1}', /spells/],
    [`{"note":"${'x'.repeat(1000)}"}`, /longer than 1000 bytes/],
  ])('%s is refused', (text, problem) => {
    expect(parseValue(text)).toMatch(problem)
  })
})

describe('draining a value', () => {
  test.each([
    ['{"weight":1,"max_fails":2}', '{"weight":1,"max_fails":2,"down":1,"evenkeel":"id"}'],
    ['{"weight":1, "down":0, "max_fails":2}', '{"weight":1, "down":1, "max_fails":2,"evenkeel":"id"}'],
    ['{ }', '{"down":1,"evenkeel":"id" }'],
    ['{"2":[1,{"down":0}],"1":"a\\"}:,"}', '{"2":[1,{"down":0}],"1":"a\\"}:,","down":1,"evenkeel":"id"}'],
    ['{"weight":1.0,"down": "0" }\n', '{"weight":1.0,"down": 1,"evenkeel":"id" }\n'],
  ])('%s', (text, drained) => {
    expect(drainedValue(text, 'id')).toBe(drained)
  })

  test('a value that would become too long for upsync is not made', () => {
    for (const length of [960, 975, 983, 989]) {
      const text = `{"note":"${'x'.repeat(length)}"}`
      expect(typeof parseValue(text)).toBe('object')
      expect(drainedValue(text, 'evenkeel-id')).toBeUndefined()
    }
  })

  test('any value is down afterwards, owned, and all other fields are in their order with their spelling', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 6 }),
        fc.nat(3),
        (fields, indent) => {
          const text = JSON.stringify(fields, undefined, indent)
          fc.pre(typeof parseValue(text) === 'object')
          const drained = drainedValue(text, 'some-id')
          fc.pre(drained !== undefined)
          expect(Buffer.byteLength(drained ?? '')).toBeLessThanOrEqual(LONGEST_VALUE_BYTES)
          expect(parseValue(drained ?? '')).toEqual({ down: true, owner: 'some-id' })
          const { down: _, evenkeel: __, ...rest } = JSON.parse(drained ?? '') as Record<string, unknown>
          const { down: ___, evenkeel: ____, ...before } = JSON.parse(text) as Record<string, unknown>
          expect(JSON.stringify(rest)).toBe(JSON.stringify(before))
        },
      ),
      { numRuns: 500 },
    )
  })
})
