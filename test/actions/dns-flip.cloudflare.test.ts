import { describeCloud } from './cloud-cases.ts'

const scene = describeCloud('cloudflare')
