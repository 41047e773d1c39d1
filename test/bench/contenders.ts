// The ways to bring a folder to a server that are measured beside each other.
import { join } from 'node:path'
import { findProgram } from '../bed/packages.ts'
import type { Sshd } from '../bed/sshd.ts'
import { actionFolder, readActionFile, repositoryRoot } from '../harness/action-file.ts'
import { type NodeRelease, nodeFolder } from '../harness/job.ts'

export interface Contender {
  readonly name: string
  /** Bash; the folder to fill is `$1`, the source `$2`, a number that is new with each run `$3`. */
  readonly script: string
  readonly env?: (folder: string, source: string, run: number) => Record<string, string>
  /** Where the site lies below the folder after a run. */
  readonly tree: string
  /** Sends only what changed, so that a second run says something. */
  readonly isDelta: boolean
  /** Needs a few round trips for each file: not run where that takes many minutes. */
  readonly isPerFile?: boolean
  /** One of those that the ratios are about. */
  readonly isCompared?: boolean
}

const SWAP = 'ln -s "releases/$n" .next && mv -T .next current'

/** `address` is the server's as the clients see it; the OpenSSH ones read its host key from a file beside its home. */
export function contenders(sshd: Sshd, address: string): Contender[] {
  const known = join(sshd.home, '..', 'known_hosts')
  const to = `${sshd.user}@${address}`
  const options = [
    `-i ${sshd.clientKey.path}`,
    `-o UserKnownHostsFile=${known}`,
    '-o GlobalKnownHostsFile=/dev/null',
    '-o IdentitiesOnly=yes',
    '-o BatchMode=yes',
    '-o LogLevel=ERROR',
    '-F /dev/null',
  ].join(' ')
  const ssh = `ssh -p ${sshd.port} ${options}`
  const scp = `scp -q -P ${sshd.port} ${options}`
  const rsync = `${findProgram('rsync').path} -az -e '${ssh}'`
  const swap = `${ssh} ${to} "cd '$1'; n=$3; ${SWAP.replaceAll('"', '\\"').replaceAll('$n', '\\$n')}"`
  const fresh = `${ssh} ${to} "mkdir -p '$1/releases/$3'"`
  return [
    { name: 'ssh host true (no upload)', script: `${ssh} ${to} true`, tree: '', isDelta: true },
    ...(['24', '20'] as const).map((node) => evenkeel(node, sshd, address)),
    {
      name: 'rsync -az',
      script: `${rsync} --delete "$2/" "${to}:$1/"`,
      tree: '.',
      isDelta: true,
      isCompared: true,
    },
    {
      name: 'rsync -az + swap',
      script: `${rsync} --mkpath "$2/" "${to}:$1/releases/$3/" && ${swap}`,
      tree: 'current',
      isDelta: false,
    },
    {
      name: 'rsync --link-dest + swap',
      script: `${rsync} --mkpath --link-dest ../../current/ "$2/" "${to}:$1/releases/$3/" && ${swap}`,
      tree: 'current',
      isDelta: true,
    },
    {
      name: 'tar | ssh',
      script: `tar -C "$2" -cf - . | ${ssh} ${to} "tar -C '$1' -xpf -"`,
      tree: '.',
      isDelta: false,
    },
    {
      name: 'tar | zstd | ssh',
      script: `tar -C "$2" -cf - . | zstd -q -3 | ${ssh} ${to} "zstd -dcq | tar -C '$1' -xpf -"`,
      tree: '.',
      isDelta: false,
    },
    {
      name: 'the five steps of scp-action',
      script: [
        't=$(mktemp -d); trap \'rm -rf "$t"\' EXIT; set -e',
        `${ssh} ${to} 'uname -s' >/dev/null`,
        'tar -C "$2" -zcf "$t/a.tar.gz" .',
        `${ssh} ${to} "mkdir -p '$1'"`,
        `${scp} "$t/a.tar.gz" "${to}:$1/a.tar.gz"`,
        `${ssh} ${to} "tar -C '$1' -zxf '$1/a.tar.gz'"`,
        `${ssh} ${to} "rm -f '$1/a.tar.gz'"`,
      ].join('\n'),
      tree: '.',
      isDelta: false,
    },
    {
      name: 'scp -r',
      script: `${fresh} && ${scp} -rp "$2/." "${to}:$1/releases/$3/"`,
      tree: 'releases/$3',
      isDelta: false,
      isPerFile: true,
    },
  ]
}

/** The action itself; `more` are further inputs. */
export function evenkeel(
  node: NodeRelease,
  sshd: Sshd,
  address: string,
  more: Readonly<Record<string, string>> = {},
): Contender {
  const launch = join(repositoryRoot, 'actions/launch')
  const declared = readActionFile(actionFolder('scp-static-upload')).inputs ?? {}
  const defaults = Object.entries(declared).map(([name, input]) => [name, String(input?.default ?? '')])
  return {
    name: `scp-static-upload, Node ${node}`,
    script: `PATH=${nodeFolder(node)}:$PATH exec sh ${launch} scp-static-upload main`,
    env: (target, source, run) => ({
      INPUTS: JSON.stringify({
        ...Object.fromEntries(defaults),
        host: `${sshd.user}@${address}:${sshd.port}`,
        'private-key': sshd.clientKey.privateKey,
        'known-hosts': sshd.knownHostsLines,
        source,
        target,
        release: `r${run}`,
        ...more,
      }),
    }),
    tree: 'current',
    isDelta: true,
    isCompared: node === '24',
  }
}
