#!/usr/bin/env bash
# The Dockerfile's steps without Docker, and its result under the limits of a free host. Python and Node are
# the caller's, not the image's: what differs between their versions is not rehearsed. Needs root, Linux,
# Node, npm, curl, git, bc, procps, util-linux and PYTHON (default python3) with pip, and cgroups of version 1 or 2
# that may be written.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-python3}
MEMORY=${MEMORY:-$((512 * 1024 * 1024))}
PERCENT=${PERCENT:-10} # of one core
PICTURE=${1:-}         # sent again and again; without one, a drawing
PORT=18000
work=$(mktemp -d /tmp/lesionlens-rehearsal.XXXXXX)
group=lesionlens-rehearsal

finish() {
  [[ -z ${server:-} ]] || kill "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  for folder in /sys/fs/cgroup/{cpu,memory,}/$group; do
    rmdir "$folder" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

setpriv --reuid 10001 --regid 10001 --clear-groups "$PYTHON" -c '' || {
  echo "error: user 10001 cannot run $PYTHON. Name one that everybody may: PYTHON=/usr/bin/python3" >&2
  exit 1
}

say() { printf '%s\n' "== $*"; }

# In each step the home is empty and nothing of the caller's settings remains but the way to packages.
bare() { env -i HOME="$work/home" PATH="$PATH" TMPDIR="$work/tmp" "${KEEP[@]}" "$@"; }
mapfile -t KEEP < <(env | grep -E '^(PIP|NPM_CONFIG|npm_config|HTTPS?_PROXY|https?_proxy|NO_PROXY|no_proxy|SSL|NODE_EXTRA|REQUESTS_CA)' || true)
mkdir -p "$work"/{home,tmp,source/serving}

say 'what .dockerignore lets through'
git ls-files -z LICENSE NOTICE artifacts constraints.txt pyproject.toml serving |
  tar --null --files-from=- --create --file=- | tar --extract --directory="$work/source"

say 'stage page'
page=$work/page/serving
mkdir -p "$page/web"
(
  cd "$work/source/serving"
  cp web/package.json web/package-lock.json web/.npmrc "$page/web/"
  cd "$page/web"
  bare npm ci --loglevel=error
  cd "$work/source/serving"
  cp -r web templates words "$page/"
  cp ramp.json "$page/"
  cd "$page/web"
  bare npm run --silent build
  find ../static -type f -size +1k ! -name '*.png' -exec gzip -9kfn {} +
)
cp -r "$page/static" "$work/source/serving/static"

say 'stage packages'
(
  cd "$work/source"
  bare "$PYTHON" -m venv --without-pip "$work/opt"
  bare "$PYTHON" -m pip --python "$work/opt/bin/python" --no-cache-dir --disable-pip-version-check \
    install --quiet --no-compile -c constraints.txt "." # EXTRAS is empty
  bare "$work/opt/bin/python" -P -m serving.modules
)

say 'the last stage'
cp -r "$work/source/artifacts" "$work/opt/artifacts"
chmod -R a+rX "$work"
packages=$(echo "$work"/opt/lib/python3.*/site-packages)
echo "installed: $(du -sm "$packages" | cut -f1) MB of packages, $(du -sm "$work/opt/artifacts" | cut -f1) MB of models"

picture=$work/picture.jpg
if [[ -n $PICTURE ]]; then
  cp "$PICTURE" "$picture"
else
  "$work/opt/bin/python" -c "
from PIL import Image
Image.effect_mandelbrot((600, 450), (-2, -1.2, 1, 1.2), 60).convert('RGB').save('$picture')"
fi

limit() { # pid
  local v1=/sys/fs/cgroup/memory v2=/sys/fs/cgroup
  if [[ -d $v1 ]]; then
    mkdir -p $v1/$group /sys/fs/cgroup/cpu/$group
    echo "$MEMORY" >$v1/$group/memory.limit_in_bytes
    echo 100000 >/sys/fs/cgroup/cpu/$group/cpu.cfs_period_us
    echo $((PERCENT * 1000)) >/sys/fs/cgroup/cpu/$group/cpu.cfs_quota_us
    echo "$1" >$v1/$group/cgroup.procs
    echo "$1" >/sys/fs/cgroup/cpu/$group/cgroup.procs
  else
    mkdir -p $v2/$group
    echo "$MEMORY" >$v2/$group/memory.max
    echo "$((PERCENT * 1000)) 100000" >$v2/$group/cpu.max
    echo "$1" >$v2/$group/cgroup.procs
  fi
}

say "as user 10001, on a system that can only be read, within $((MEMORY >> 20)) MB and $PERCENT % of a core"
export work PORT
unshare --mount --pid --fork --kill-child --mount-proc bash -c '
  mount --make-rprivate /
  mount --bind "$work/opt" "$work/opt"
  for place in $(findmnt --noheadings --raw --output TARGET | grep -vE "^/(proc|dev|sys)(/|$)" | sort -r); do
    mount -o remount,bind,ro "$place" 2>/dev/null || true
  done
  cd "$work/opt"
  read -r
  exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all \
    env -i PATH="$work/opt/bin:/usr/bin:/bin" PORT=$PORT LESIONLENS_ARTIFACTS="$work/opt/artifacts" \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 lesionlens serve --host 0.0.0.0
' < <(until [[ -e $work/go ]]; do sleep 0.05; done; echo) >"$work/log" 2>&1 &
server=$!
limit "$server"
for child in $(pgrep -P "$server"); do limit "$child"; done
began=$(date +%s.%N)
touch "$work/go"

post() { curl --silent --show-error --max-time 120 --output "$work/answer" --write-out '%{http_code} %{time_total}\n' \
  --form "images=@$picture" "http://127.0.0.1:$PORT/api/v1/predictions"; }
for _ in $(seq 600); do
  kill -0 "$server" 2>/dev/null || break
  if first=$(post 2>/dev/null) && [[ $first == 200* ]]; then break; fi
  sleep 0.1
done
[[ ${first:-} == 200* ]] || { cat "$work/log"; exit 1; }
echo "first answer: $(echo "$(date +%s.%N) - $began" | bc) s after the start"
for _ in $(seq 20); do post; done | awk '{ print $2 }' | sort -n |
  awk '{ t[NR] = $1 } END { printf "then: median %.2f s, longest %.2f s of %d\n", t[int((NR + 1) / 2)], t[NR], NR }'

process=$(pgrep -u 10001 -f 'lesionlens serve' | head -1)
echo "runs as: $(awk '/^Uid/ { print $2 }' "/proc/$process/status"), capabilities: $(awk '/^CapEff/ { print $2 }' "/proc/$process/status")"
health=$(sed -n "s/^  CMD \[\"python\", \"-c\", \"\(.*\)\"\]$/\1/p" Dockerfile)
[[ -n $health ]] || { echo 'error: the Dockerfile has no health check that this can read' >&2; exit 1; }
PORT=$PORT "$work/opt/bin/python" -c "$health"
echo 'the health check passes'
echo "open for writing: $(find "/proc/$process/fd" -lname '/*' ! -lname '/dev/*' -printf '%l\n' | grep -vc "^$work/log$" || true) files"
awk '/^Vm(RSS|HWM)/ { printf "%s %.0f MB\n", $1, $2 / 1024 }' "/proc/$process/status"
grep -E 'oom_kill [1-9]' /sys/fs/cgroup/{memory/,}$group/memory{.events,.oom_control} 2>/dev/null || echo 'never out of memory'

say 'SIGTERM'
kill -TERM "$process"
wait "$server" || true
server=
tail -n 1 "$work/log"
