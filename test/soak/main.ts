// `npm run soak`: all long runs; `npm run soak -- git 50`: one of them, so many times. Ends with 1 where one does not hold.
import process from 'node:process'

const soaks: Readonly<Record<string, (count: number | undefined) => Promise<boolean>>> = {
  upload: async () => (await import('./upload.ts')).soakUpload(),
  rollouts: async (count = 100) => {
    const { soak } = await import('./rollouts.ts')
    const result = await soak({ rollouts: count, controls: 10 }, (line) => console.log(line))
    console.log(result)
    return result.failed === 0 && result.control.every((failed) => failed > 0)
  },
  kills: async () => (await import('./kills.ts')).soakKills((line) => console.log(line)),
  git: async (count = 20) => (await import('./git.ts')).soakGit(count),
}

const [name, count] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
if (name !== undefined && !Object.hasOwn(soaks, name)) {
  console.error(`no soak ${name}; there are ${Object.keys(soaks).join(', ')}`)
  process.exit(1)
}
let holds = true
for (const [title, soak] of Object.entries(soaks)) {
  if (name !== undefined && name !== title) continue
  console.log(`${title}:`)
  if (!(await soak(count === undefined ? undefined : Number(count)))) holds = false
}
process.exitCode = holds ? 0 : 1
