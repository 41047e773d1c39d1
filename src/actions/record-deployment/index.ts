import { runAction } from '../../runner/action.ts'
import { recordDeployment } from './main.ts'

void runAction(recordDeployment)
