import { runAction } from '../../runner/action.ts'
import { consulUndrain } from './main.ts'

void runAction(consulUndrain)
