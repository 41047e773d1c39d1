import { runAction } from '../../runner/action.ts'
import { gitPullBuildUp } from './main.ts'

void runAction(gitPullBuildUp)
