import { runAction } from '../../runner/action.ts'
import { lastGood } from './main.ts'

void runAction(lastGood)
