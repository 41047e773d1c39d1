import { quote } from './quote.ts'

/** Where systemd notes that a user lingers (`loginctl enable-linger`), and whether that user's own manager runs. */
const LINGERS = `[ -e "/var/lib/systemd/linger/$LOGNAME" ] && runtime=\${XDG_RUNTIME_DIR:-/run/user/$(id -u)} &&
  [ -S "$runtime/systemd/private" ] && command -v systemd-run >/dev/null`

/**
 * Shell text that starts a supervisor in the background: apart from the connection, with fd 9 (the lock on the work) and
 * its output in the unit's log. Where the user lingers it is a service of the user's systemd, since logind may end what
 * a session leaves behind (KillUserProcesses); with KillMode=process, so that what `up` has started outlives it.
 * Elsewhere it is a session of its own. Script and environment travel over a pipe: they are in no argument, no property
 * of the service and no file. The lock reaches the service as its standard error, a descriptor that shares it.
 * `$unit` is the unit's folder, the current directory the one to work in. Pure.
 */
export function launchScript(name: string, supervisor: string): string {
  const title = quote(`evenkeel-${name}`)
  const service = [
    ...['--user', '--quiet', '--collect', '--pipe', '--service-type=exec'],
    ...[`--unit=${title}`, '--property=KillMode=process'],
  ].join(' ')
  return String.raw`
supervisor=${quote(supervisor)}
by_itself() {
  printf '%s\n' "$supervisor" | setsid sh -c 'eval "$(cat)"' ${title} >>"$unit/log" 2>&1
}
as_service() {
  { export -p; printf 'umask %s\ncd -- "$PWD"\n%s\n' "$(umask)" "$supervisor"; } |
    XDG_RUNTIME_DIR=$runtime systemd-run ${service} -- sh -c 'exec 9>&2 2>&1; eval "$(cat)"' ${title} >>"$unit/log" 2>&9
}
if ${LINGERS}; then
  { as_service || [ -e "$unit/pid" ] || by_itself; } &
else by_itself & fi
`
}
