#!/usr/bin/env bash
# Runs every check and benchmark that needs an NVIDIA GPU, on a machine that may lack Go and network
# access. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<END
Usage: scripts/gpu.sh pack   [--dir DIR] [--part-mb N] [--arch N]   where Go and the network are
       scripts/gpu.sh unpack [--dir DIR]                            where the GPU is
       scripts/gpu.sh run    [--dir DIR] [OPTION...] [PIECE[=SECONDS]...]
       scripts/gpu.sh list

pack builds the programs and puts them, ONNX Runtime's libraries for CUDA
(scripts/get-onnxruntime.sh --cuda, or the folder VICREG_ONNXRUNTIME) and the data
(cifar10-jpg.tar.xz and photos of VICREG_TEST_DATA, by default ../shared/data) into
DIR/parts, in parts of at most N megabytes with their SHA-256. What has not changed is
not packed anew. Take the working tree and the parts to the other machine, all at once
or in several journeys. The libraries are some 190 MB packed; --arch 90 takes out the
code for other GPUs than H100 and H200 and leaves 50 MB (scripts/bench/thin_cuda.py).

unpack joins the parts that are there, checks them and says which are missing; what is
in place already stays. DIR is $dir by default, which git ignores.

run runs the pieces, by default all, in the order of the list. Each writes to the
result file as it goes; a piece that the file has a result of, from the same programs
and the same device, is not run again. Where Go is, the programs are built anew; where
nothing was unpacked, data and library are those that the tests use.
  --device D     cuda, cuda:N or cpu; by default cuda
  --quick        small sizes: that it works, not how fast. With --device cpu it needs no GPU
  --again        run pieces although they have results
  --budget S     seconds each piece may take, by default its own or those given with it;
                 then it is cut off
  --total S      seconds for all, by default 540: what does not fit by half is left for
                 another run
  --epochs N     of the piece learn, by default 20
  --results F    the result file, by default DIR/results.txt
The peers want a Python with PyTorch: VICREG_TORCH_PYTHON, python3 or /usr/bin/python3.
Without one, and with VICREG_TORCH_PYTHON=none, their part is left out. Where that
Python has packages of CUDA 13, vicreg takes its libraries from them, too, unless
VICREG_CUDA_LIBRARIES says where they are.

Exit codes: 0 all that was asked for has its result and no verdict is FAIL; 1 not so;
2 wrong usage.
END
}

say() { printf 'gpu: %s\n' "$*" >&2; }
die() { say "$2"; exit "$1"; }
have() { command -v "$1" >/dev/null 2>&1; }

dir=build/gpu part_mb=25 device=cuda quick='' again='' budget='' total=540 epochs=20 results='' arch=''
command=${1:-}
case $command in
  pack | unpack | run | list) shift ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
chosen=()
number() { [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die 2 "$1 wants a number"; }
while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=${2:-} && [ -n "$dir" ] || die 2 "--dir wants a folder"; shift ;;
    --part-mb) number "$@"; part_mb=$2; shift ;;
    --arch) number "$@"; arch=$2; shift ;;
    --device) device=${2:-}; shift ;;
    --quick) quick=1 ;;
    --again) again=1 ;;
    --budget) number "$@"; budget=$2; shift ;;
    --total) number "$@"; total=$2; shift ;;
    --epochs) number "$@"; epochs=$2; shift ;;
    --results) results=${2:-} && [ -n "$results" ] || die 2 "--results wants a file"; shift ;;
    --help | -h) usage; exit 0 ;;
    -*) die 2 "unknown option $1; see --help" ;;
    *) chosen+=("$1") ;;
  esac
  shift
done
[[ $device =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || die 2 "--device $device: want cpu, cuda or cuda:N"
results=${results:-$dir/results.txt}

# --- packing ---

# build builds the programs; without Go the existing ones are used.
build() {
  if ! have go; then
    [ -x "$dir/bin/bench-gpu" ] || die 1 "no programs in $dir/bin and no Go to build them: run scripts/gpu.sh pack elsewhere, then unpack here"
    return 0
  fi
  mkdir -p "$dir/bin"
  go build -ldflags '-s -w' -o "$dir/bin/vicreg" .
  go build -ldflags '-s -w' -o "$dir/bin/bench-gpu" ./scripts/bench/gpu
  go build -ldflags '-s -w' -o "$dir/bin/bench-serve" ./scripts/bench/serve
}

# collect_data copies the data sets that are available here into DIR/data.
collect_data() {
  local from=${VICREG_TEST_DATA:-../shared/data}
  mkdir -p "$dir/data"
  if [ ! -d "$dir/data/cifar" ] && [ -f "$from/cifar10-jpg.tar.xz" ]; then
    rm -rf "$dir/data.tmp"
    mkdir "$dir/data.tmp"
    unxz_to "$from/cifar10-jpg.tar.xz" "$dir/data.tmp"
    mv "$dir/data.tmp/cifar" "$dir/data/cifar"
    rmdir "$dir/data.tmp"
  fi
  if [ ! -d "$dir/data/photos" ] && [ -d "$from/photos" ]; then
    cp -r "$from/photos" "$dir/data/photos.tmp"
    chmod -R u+w "$dir/data/photos.tmp"
    mv "$dir/data/photos.tmp" "$dir/data/photos"
  fi
}

# unxz_to ARCHIVE FOLDER unpacks a tar.xz.
unxz_to() {
  if have xz; then
    xz -T0 -dc "$1" | tar -xf - -C "$2"
  else
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1], "r:xz").extractall(sys.argv[2])' "$1" "$2"
  fi
}

sum() { sha256sum "$1" | cut -d' ' -f1; }

# library_folder prints the folder of the CUDA libraries.
library_folder() {
  local path
  if [ -n "${VICREG_ONNXRUNTIME:-}" ]; then
    path=$VICREG_ONNXRUNTIME
    [ -d "$path" ] || path=$(dirname "$path")
  else
    scripts/get-onnxruntime.sh --cuda >&2
    path=$(dirname "$(scripts/get-onnxruntime.sh --cuda --print)")
  fi
  [ -e "$path/libonnxruntime_providers_cuda.so" ] || die 1 "no libonnxruntime_providers_cuda.so in $path"
  echo "$path"
}

# collect_libraries FOLDER copies the CUDA libraries into DIR/libraries, complete or with the code
# for one architecture only.
collect_libraries() {
  local from=$1 to=$dir/libraries provider=libonnxruntime_providers_cuda.so main
  main=$(cd "$from" && compgen -G 'libonnxruntime.so.*' | LC_ALL=C sort | tail -n 1)
  [ -n "$main" ] || die 1 "no libonnxruntime.so.* in $from"
  rm -rf "$to"
  mkdir -p "$to"
  cp -L "$from/$main" "$from/libonnxruntime_providers_shared.so" "$to"
  ln -s "$main" "$to/libonnxruntime.so"
  if [ -z "$arch" ]; then
    cp -L "$from/$provider" "$to"
  else
    python3 scripts/bench/thin_cuda.py "$from/$provider" "$to/$provider" --arch "$arch" >&2
    echo "$arch" >"$to/ARCHITECTURE"
  fi
}

# part NAME FOLDER LEVEL FILE... packs files of a folder, unless they are packed already: NAME.of
# records the checksums of the files in NAME's parts.
part() {
  local name=$1 folder=$2 level=$3 parts=$dir/parts of
  shift 3
  of=$(cd "$folder" && printf 'parts of %s MB\n' "$part_mb" && find -L "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
  if [ "$(cat "$parts/$name.of" 2>/dev/null)" = "$of" ]; then
    say "$name is packed already"
    return 0
  fi
  rm -f "$parts/$name".*
  tar -cf - -C "$folder" --owner=0 --group=0 "$@" | xz -T0 "$level" >"$parts/$name.whole"
  (cd "$parts" && split -b "${part_mb}M" -d -a 2 "$name.whole" "$name.part" && sha256sum "$name".part* "$name.whole" >"$name.sums")
  rm "$parts/$name.whole"
  echo "$of" >"$parts/$name.of"
}

pack() {
  have xz || die 1 "xz is not installed"
  mkdir -p "$dir/parts"
  build
  collect_data
  local libraries
  libraries=$(library_folder)
  part bin "$dir/bin" -9 vicreg bench-gpu bench-serve
  collect_libraries "$libraries"
  part lib "$dir/libraries" -6 .
  local have_data=()
  for set in cifar photos; do
    if [ -d "$dir/data/$set" ]; then have_data+=("$set"); else say "no $set: its pieces will be skipped"; fi
  done
  for set in "${have_data[@]}"; do part "$set" "$dir/data" -1 "$set"; done
  (cd "$dir/parts" && du -ch --apparent-size ./*.part* && cat ./*.sums | grep part | wc -l | sed 's/$/ parts/') >&2
}

# unpack extracts the parts into DIR/bin, DIR/lib and DIR/data.
unpack() {
  local parts=$dir/parts missing=0 sums name whole
  compgen -G "$parts/*.sums" >/dev/null || die 1 "no parts in $parts"
  for sums in "$parts"/*.sums; do
    name=$(basename "$sums" .sums)
    whole=$(grep -F "  $name.whole" "$sums" | cut -d' ' -f1)
    if [ "$(cat "$dir/$name.unpacked" 2>/dev/null)" = "$whole" ]; then
      say "$name is unpacked already"
      continue
    fi
    if ! (cd "$parts" && grep -vF "  $name.whole" "$name.sums" | sha256sum --quiet -c -) >&2; then
      say "$name: parts are missing or not as they were packed"
      missing=1
      continue
    fi
    rm -rf "$dir/$name.tmp" "$dir/$name.tmp.xz"
    mkdir "$dir/$name.tmp"
    cat "$parts/$name".part* >"$dir/$name.tmp.xz"
    [ "$(sum "$dir/$name.tmp.xz")" = "$whole" ] || die 1 "$name: the parts together are not what was packed"
    unxz_to "$dir/$name.tmp.xz" "$dir/$name.tmp"
    rm "$dir/$name.tmp.xz"
    case $name in
      cifar | photos)
        mkdir -p "$dir/data"
        rm -rf "${dir:?}/data/$name"
        mv "$dir/$name.tmp/$name" "$dir/data/$name"
        rmdir "$dir/$name.tmp" ;;
      *)
        rm -rf "${dir:?}/$name"
        mv "$dir/$name.tmp" "$dir/$name" ;;
    esac
    echo "$whole" >"$dir/$name.unpacked"
    say "$name is unpacked"
  done
  return $missing
}

# --- running ---

# find_torch sets python to an interpreter with PyTorch and versions to their versions; python is
# empty if there is none.
find_torch() {
  python='' versions='none with PyTorch'
  [ "${VICREG_TORCH_PYTHON:-}" != none ] || return 0
  local candidate found
  for candidate in "${VICREG_TORCH_PYTHON:-python3}" /usr/bin/python3; do
    if found=$("$candidate" -c 'import sys, torch; print(sys.version.split()[0] + ", PyTorch " + torch.__version__)' 2>/dev/null); then
      python=$candidate versions="$candidate, $found"
      return 0
    fi
  done
}

# find_libraries lets vicreg use the CUDA libraries that come with PyTorch. By default vicreg only
# searches the packages of the python3 on the path. If python has none, the variable stays unset, as
# setting VICREG_CUDA_LIBRARIES would end the search.
find_libraries() {
  [ -n "$python" ] && [ -z "${VICREG_CUDA_LIBRARIES:-}" ] || return 0
  local site
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 0
  if compgen -G "$site/nvidia/*/lib/libcudart.so.13" >/dev/null; then
    export VICREG_CUDA_LIBRARIES=$site
  fi
}

# machine describes the machine that the results are from.
machine() {
  echo "date       $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "system     $(uname -srm), $(nproc) cores, $(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
  if [ "$device" != cpu ]; then
    echo "gpu        $(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | head -n 4)"
  fi
  echo "python     $versions"
  if [ "$device" != cpu ] && [ -d "$dir/lib" ]; then
    echo "libraries  $(cd "$dir/lib" && sha256sum ./*.so | cut -c1-12 | paste -sd' ')$([ ! -f "$dir/lib/ARCHITECTURE" ] || echo ", code for architecture $(cat "$dir/lib/ARCHITECTURE") alone")"
  fi
  echo "programs   $(cd "$dir/bin" && sha256sum vicreg bench-gpu bench-serve | cut -c1-12 | paste -sd' ')"
}

# has_result PIECE KEY
has_result() { grep -qE "^== end $1 key=$2 exit=0 " "$results" 2>/dev/null; }

run_piece() {
  local piece=$1 seconds=$2 begin=$SECONDS code=0
  [ -z "$again" ] || rm -rf "$dir/work/$piece-$key"
  local args=(-piece "$piece" -key "$key" -device "$device" -budget "${seconds}s" -epochs "$epochs" -work "$dir/work" -vicreg "$dir/bin/vicreg"
    -server "$dir/bin/bench-serve" -python "$python")
  [ -z "$quick" ] || args+=(-quick)
  [ ! -d "$dir/data" ] || args+=(-data "$dir/data")
  {
    printf '\n== begin %s key=%s seconds=%s\n' "$piece" "$key" "$seconds"
    timeout --kill-after=10 "$((seconds + 5))" "$dir/bin/bench-gpu" "${args[@]}" 2>&1 || code=$?
    [ "$code" != 124 ] || echo "CUT OFF after $((seconds + 5)) s"
    printf '== end %s key=%s exit=%s seconds=%s\n' "$piece" "$key" "$code" "$((SECONDS - begin))"
  } | tee -a "$results"
}

run() {
  build
  have go && collect_data
  find_torch
  [ "$device" = cpu ] || find_libraries
  if [ "$device" != cpu ] && [ -d "$dir/lib" ]; then
    VICREG_ONNXRUNTIME=$(cd "$dir/lib" && pwd)
    export VICREG_ONNXRUNTIME
  fi
  local list pieces=() left=() piece own seconds facts
  local -A given=()
  list=$("$dir/bin/bench-gpu" -list)
  for piece in "${chosen[@]}"; do
    grep -q "^${piece%%=*} " <<<"$list" || die 2 "no piece ${piece%%=*}; scripts/gpu.sh list lists them"
    pieces+=("${piece%%=*}")
    [ "$piece" = "${piece%%=*}" ] || { number "$piece" "${piece#*=}"; given[${piece%%=*}]=${piece#*=}; }
  done
  [ ${#chosen[@]} != 0 ] || mapfile -t pieces < <(awk '{print $1}' <<<"$list")
  facts=$(machine)
  key=$(printf '%s %s %s %s' "$(grep -E '^(gpu|programs)' <<<"$facts")" "$device" "${quick:-full}" "$epochs" | sha256sum | cut -c1-12)
  mkdir -p "$(dirname "$results")"
  printf '\n== machine key=%s device=%s%s\n%s\n' "$key" "$device" "${quick:+ quick}" "$facts" | tee -a "$results"
  for piece in "${pieces[@]}"; do
    if [ -z "$again" ] && has_result "$piece" "$key"; then
      say "$piece has a result already"
      continue
    fi
    own=${given[$piece]:-${budget:-$(awk -v p="$piece" '$1 == p {print $2}' <<<"$list")}}
    seconds=$((total - SECONDS < own ? total - SECONDS : own))
    if [ $((2 * seconds)) -lt "$own" ]; then
      left+=("$piece")
      continue
    fi
    run_piece "$piece" "$seconds"
  done
  local code=0
  summary "${pieces[@]}" || code=1
  [ ${#left[@]} = 0 ] || say "left for another run, for want of time: ${left[*]}"
  return $code
}

# summary prints the verdicts of the latest results of these pieces.
summary() {
  awk -v key="$key" -v names="$*" '
    BEGIN { n = split(names, name, " "); for (i = 1; i <= n; i++) wanted[name[i]] = 1 }
    $1 == "==" && $2 == "begin" { piece = $4 == "key=" key && $3 in wanted ? $3 : ""; if (piece) verdicts[piece] = "" }
    $1 == "verdict" && $2 == piece { verdicts[piece] = verdicts[piece] $0 "\n" }
    $1 == "==" && $2 == "end" && piece { code[piece] = $5; sub("exit=", "", code[piece]); piece = "" }
    END {
      print "\n== summary key=" key
      for (i = 1; i <= n; i++) {
        p = name[i]
        printf "%s", verdicts[p]
        word = !(p in code) ? "NO RESULT" : code[p] == 0 ? "done" : code[p] == 3 ? "SKIPPED" : code[p] == 4 ? "UNFINISHED" : code[p] == 124 || code[p] == 137 ? "CUT OFF" : "ERROR " code[p]
        if (word != "done") print "piece " p " " word
        if (word ~ /ERROR|CUT|NO RESULT|UNFINISHED/) failed = 1
        if (verdicts[p] ~ /(^|\n)verdict [^ ]+ FAIL/) failed = 1
      }
      print failed ? "NOT ALL IS WELL" : "all is well"
      exit failed
    }' "$results" | tee -a "$results"
}

case $command in
  pack) pack ;;
  unpack) unpack ;;
  list) build; "$dir/bin/bench-gpu" -list ;;
  run) run ;;
esac
