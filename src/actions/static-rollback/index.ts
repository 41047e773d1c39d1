import { runAction } from '../../runner/action.ts'
import { staticRollback } from './main.ts'

void runAction(staticRollback)
