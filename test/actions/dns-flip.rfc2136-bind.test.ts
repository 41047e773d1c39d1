import { describeUpdates } from './rfc2136-cases.ts'

describeUpdates('BIND')
