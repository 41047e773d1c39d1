import { runAction } from '../../runner/action.ts'
import { scpStaticUpload } from './main.ts'

void runAction(scpStaticUpload)
