import { describeCloud } from './cloud-cases.ts'

describeCloud('cloudflare')
