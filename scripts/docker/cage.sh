#!/usr/bin/env bash
# Runs the image's program with only the image's files, as a strict container engine would, and
# checks that it serves: scripts/docker/cage.sh ROOT MODELS IMAGE...
# ROOT is the file tree, MODELS the folder to mount at /models, and every IMAGE is posted to /embed.
# User, environment, command and probe are those of the Dockerfile's last stage; the tree is
# read-only except for its own /tmp. Needs root, ip and curl, and namespaces that it may modify:
#   unshare --mount --net scripts/docker/cage.sh ROOT MODELS IMAGE...
set -euo pipefail

root=$(cd "$1" && pwd) models=$(cd "$2" && pwd)
images=("${@:3}")
dockerfile=$(dirname "${BASH_SOURCE[0]}")/../../Dockerfile
chroot=$(command -v chroot)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

die() { echo "cage.sh: $*" >&2; exit 1; }

# setting NAME: prints the words after the Dockerfile's last NAME, with lists flattened.
setting() { sed -n "s/^$1 //p" "$dockerfile" | tail -n 1 | sed 's/^.*CMD \[/[/' | tr -d '[]",'; }
user=$(setting USER)
read -ra environment <<<"$(setting ENV)"
read -ra entrypoint <<<"$(setting ENTRYPOINT)"
read -ra command <<<"$(setting CMD)"
read -ra probe <<<"$(setting HEALTHCHECK)"

# inside COMMAND...: replaces the shell by that process in the cage.
inside() { exec env -i "${environment[@]}" "$chroot" --userspec="$user" "$root" "$@"; }

ip link set lo up
mkdir -p "$root"/{etc,models,proc,sys,tmp}
[ -e "$root/etc/hosts" ] || : >"$root/etc/hosts"
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --bind "$models" "$root/models"
mount -o remount,bind,ro "$root/models"
mount -t tmpfs -o size=16m,mode=1777 tmpfs "$root/tmp"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$logs/hosts" # engines provide their own
mount --bind "$logs/hosts" "$root/etc/hosts"
mount -o remount,bind,ro "$root"
if touch "$root/file" 2>/dev/null; then die "the tree can be written to"; fi

(inside "${entrypoint[@]}" version)
(inside "${entrypoint[@]}" doctor)

code=0
(inside "${probe[@]}") >"$logs/probe" 2>&1 || code=$?
[ "$code" = 1 ] || die "the probe ends with $code when nothing serves: $(cat "$logs/probe")"
echo "with no server the probe says: $(cat "$logs/probe")"

(inside "${entrypoint[@]}" "${command[@]}") >"$logs/out" 2>"$logs/log" &
server=$!
trap 'kill -KILL "$server" 2>/dev/null || true; rm -rf "$logs"' EXIT # whatever went wrong
tries=0
# It is live before its model is loaded.
until (inside "${probe[@]}") >"$logs/probe" 2>&1 && curl --silent --fail --output /dev/null http://localhost:8080/readyz; do
  kill -0 "$server" 2>/dev/null || die "the server has ended: $(cat "$logs/out" "$logs/log")"
  [ $((tries += 1)) -le 300 ] || die "the server does not become well: $(cat "$logs/probe" "$logs/log")"
  sleep 0.1
done
cat "$logs/out" "$logs/probe"
owner=$(stat -c %u:%g "/proc/$server")
[ "$owner" = "$user" ] || die "the server runs as $owner, not $user"

for image in "${images[@]}"; do
  curl --silent --show-error --fail-with-body --max-time 30 --data-binary "@$image" -H "Content-Type: image/${image##*.}" \
    http://localhost:8080/embed >"$logs/answer" || die "$image: $(cat "$logs/answer")"
  grep -q '"embedding":\[' "$logs/answer" || die "$image: no vector in $(cat "$logs/answer")"
  echo "$(basename "$image"): $(head -c 100 "$logs/answer")..."
done

kill -TERM "$server"
code=0
wait "$server" || code=$?
[ "$code" = 0 ] || die "the server ends with $code on SIGTERM: $(cat "$logs/log")"
[ -z "$(ls -A "$root/tmp")" ] || die "the server has left files in /tmp: $(ls -A "$root/tmp")"
echo "stopped by SIGTERM with code 0; nothing was written"
