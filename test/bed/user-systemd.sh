# Runs a command in a mount namespace of its own in which the user (root) lingers and the user's own systemd runs:
# user-systemd.sh FOLDER COMMAND... Needs root; nothing of the machine's own /run is touched. Runs under `unshare --mount`.
set -e
folder=$1
shift
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/user/0 /run/sshd
mkdir -p "$folder/linger"
touch "$folder/linger/$(id -un)"
mkdir -p /var/lib/systemd/linger
mount --bind "$folder/linger" /var/lib/systemd/linger
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  group=$hierarchy/$(basename "$folder")
  mkdir -p "$group" && echo $$ >"$group/cgroup.procs" || :
done
for systemd in /usr/lib/systemd/systemd /lib/systemd/systemd; do [ ! -x "$systemd" ] || break; done
[ -x "$systemd" ] && command -v systemd-run || { echo 'systemd is missing: apt-get install systemd'; exit 1; }
XDG_RUNTIME_DIR=/run/user/0 "$systemd" --user --log-target=console </dev/null >"$folder/systemd.log" 2>&1 &
n=0
until [ -S /run/user/0/systemd/private ]; do
  n=$((n + 1))
  [ "$n" -lt 500 ] || { cat "$folder/systemd.log"; exit 1; }
  sleep 0.02
done
exec "$@"
