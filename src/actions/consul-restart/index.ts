import { runAction } from '../../runner/action.ts'
import { consulRestart } from './main.ts'

void runAction(consulRestart)
