import { runAction } from '../../runner/action.ts'
import { consulDrain } from './main.ts'

void runAction(consulDrain)
