// The kill matrix whole: a rollout is broken off at every step in every way, under load, and run again.
import { breakOff, POINTS, WAYS } from '../actions/consul-kills.ts'

/** Scenes at a time, and requests a second in each: 600 together. */
const AT_A_TIME = 3
const RATE = 200

/** Plays all scenes. True when every promise was kept. */
export async function soakKills(say: (line: string) => void): Promise<boolean> {
  const scenes = POINTS.flatMap((point) => WAYS.map((way) => ({ point, way })))
  const queue = [...scenes]
  let sent = 0
  let bad = 0
  const play = async () => {
    for (let scene = queue.shift(); scene !== undefined; scene = queue.shift()) {
      const { point, way } = scene
      try {
        sent += await breakOff(point, way, RATE)
        say(`kept: ${way} ${point.name}`)
      } catch (error) {
        bad++
        say(`BROKEN: ${way} ${point.name}\n${error instanceof Error ? error.stack : String(error)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, play))
  say(`${scenes.length} scenes, ${bad} of them broken; ${sent} requests, none of which failed in the others`)
  return bad === 0
}
