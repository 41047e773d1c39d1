import { runAction } from '../../runner/action.ts'
import { waitHealthy } from './main.ts'

void runAction(waitHealthy)
