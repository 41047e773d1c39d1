import { runAction } from '../../runner/action.ts'
import { dnsFlip } from './main.ts'

void runAction(dnsFlip)
