#!/usr/bin/env bash
# Fetches the ONNX Runtime library that vicreg runs on. See --help.
# shellcheck disable=SC2317,SC2329 # the sources are called by name
set -euo pipefail

version=1.30.0

usage() {
  cat <<END
Usage: scripts/get-onnxruntime.sh [--cuda] [--dir DIR] [--from pip|npm|release] [--unverified]
       scripts/get-onnxruntime.sh [--cuda] [--dir DIR] --print

Puts ONNX Runtime $version where vicreg looks for it:
  $(default_dir)
and with --cuda its build for NVIDIA GPUs, which has two more libraries, there:
  $(default_dir)/cuda

It takes the first of these that works, and checks its SHA-256:
  1. the library that is already there (no network is needed then)
  2. the onnxruntime wheel, or onnxruntime-gpu (250 MB), through pip
  3. the onnxruntime-node package, through npm; not with --cuda
  4. the archive of the official release, through curl

Options
  --cuda         the build for NVIDIA GPUs, for Linux x64 only. It runs with CUDA 13,
                 cuDNN 9 and a driver of version 580 or later, which are not fetched:
                 when it is in place, what of them is not found is said. It also runs
                 where there is no GPU, on the processors.
  --dir DIR      put it into DIR itself, with or without --cuda. vicreg also looks
                 into a folder .onnxruntime beside the program, and at
                 VICREG_ONNXRUNTIME, a file or folder.
  --from SOURCE  use this source only, even when the library is already there.
  --unverified   take the release archive although its checksum is not known.
  --print        print the path of libonnxruntime in DIR and fetch nothing; exit 1
                 unless all that belongs to it is there with the right checksums.
  --help         print this.

The checksums of the release archives' libraries have not been recorded: they are
taken when they equal those of another source, else refused unless --unverified says
so; DIR/unverified.sha256 then remembers them.

Platforms: linux x64; linux arm64 and macOS arm64 are UNTESTED: their packages
were unpacked and their checksums recorded, but the libraries have never been run.
On Linux the library needs glibc and libstdc++, so Alpine will not do.

Exit codes: 0 it is there, though CUDA may be missing, 1 it could not be had,
2 wrong usage or platform.
END
}

say() { printf 'get-onnxruntime: %s\n' "$*" >&2; }
die() { say "$2"; exit "$1"; }

# The same rule as DefaultDir in models/ort/find.go.
default_dir() {
  case ${XDG_DATA_HOME:-} in
    /*) echo "$XDG_DATA_HOME/vicreg/onnxruntime" ;;
    *) echo "${HOME:?has no value: set it or give --dir}/.local/share/vicreg/onnxruntime" ;;
  esac
}

dir='' from='' unverified='' print='' cuda=''
while [ $# -gt 0 ]; do
  case $1 in
    --cuda) cuda=1 ;;
    --dir) dir=${2:-}; [ -n "$dir" ] || die 2 "--dir wants a folder"; shift ;;
    --from)
      from=${2:-}
      case $from in pip | npm | release) ;; *) die 2 "--from wants pip, npm or release, not \"$from\"" ;; esac
      shift ;;
    --unverified) unverified=1 ;;
    --print) print=1 ;;
    --help | -h) usage; exit 0 ;;
    *) die 2 "unknown argument \"$1\"; see --help" ;;
  esac
  shift
done
[ -n "$dir" ] || dir=$(default_dir)${cuda:+/cuda}

# The platform's name in each source, and the SHA-256 of its library. If there are several files,
# they are the whole package, with the sums in the same order.
package=onnxruntime sources='pip npm release' with=''
case "$(uname -s) $(uname -m)" in
  "Linux x86_64")
    files=("libonnxruntime.so.$version") link=libonnxruntime.so
    wheel=manylinux_2_28_x86_64 node=linux/x64/libonnxruntime.so.1 release=linux-x64
    pip_sums=c902c70b3003c0e99fada202f37478c515ae9bba7944c2b2abd0017bae0c82ed
    npm_sums=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23 ;;
  "Linux aarch64" | "Linux arm64")
    files=("libonnxruntime.so.$version") link=libonnxruntime.so
    wheel=manylinux_2_28_aarch64 node=linux/arm64/libonnxruntime.so.1 release=linux-aarch64
    pip_sums=8a218e1e446880131115c368ec7005969a5022af9a15a26173de648fef0b7789
    npm_sums=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76 ;;
  "Darwin arm64")
    files=("libonnxruntime.$version.dylib") link=libonnxruntime.dylib
    wheel=macosx_14_0_arm64 node=darwin/arm64/libonnxruntime.$version.dylib release=osx-arm64
    pip_sums=b46713ea6a25a5227541c21001f6422c1ccdeaecc369aa026a61b752520325c3
    npm_sums=685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d ;;
  *) die 2 "there is no library for $(uname -s) $(uname -m): only linux x64, linux arm64 and macOS arm64" ;;
esac
if [ -n "$cuda" ]; then
  [ "$release" = linux-x64 ] || die 2 "--cuda is for linux x64 only"
  [ "$from" != npm ] || die 2 "--from npm has no library for CUDA: only pip and release have"
  package=onnxruntime-gpu sources='pip release' with=' --cuda' release=linux-x64-gpu_cuda13 npm_sums=''
  files+=(libonnxruntime_providers_shared.so libonnxruntime_providers_cuda.so)
  pip_sums='5a140dc17c8b60b35b2ceab0bb533e65ac54f06a208948417c1f9c31df6afc4c
    086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d
    35da2e7ed0dd0d1aec5cdb16ce11a51d06c0c48cf62d1b1c9332946a4fae14fc'
fi
file=${files[0]}
if [ -z "$cuda" ] && [ -e "$dir/libonnxruntime_providers_cuda.so" ]; then
  die 2 "$dir holds the build for CUDA: say --cuda, or name another folder"
fi

have() { command -v "$1" >/dev/null 2>&1; }

sum() {
  if have sha256sum; then
    sha256sum "$1" | cut -d' ' -f1
  elif have shasum; then
    shasum -a 256 "$1" | cut -d' ' -f1
  else
    die 1 "neither sha256sum nor shasum is there to check $1"
  fi
}

# known FOLDER: reports whether its contents are byte for byte those of a source, or what
# --unverified accepted earlier.
known() {
  local name sums='' taken
  for name in "${files[@]}"; do sums+="$(sum "$1/$name") "; done
  taken=$(words "$(cat "$dir/unverified.sha256" 2>/dev/null)")
  [ "$sums" = "$(words "$pip_sums")" ] || [ "$sums" = "$(words "$npm_sums")" ] || [ "$sums" = "$taken" ]
}

# words TEXT: prints its words, each followed by a space.
words() {
  local word
  # shellcheck disable=SC2086 # the words of it
  for word in $1; do printf '%s ' "$word"; done
}

# complete: reports whether every file exists, whatever its contents.
complete() {
  local name
  for name in "${files[@]}" "$link"; do [ -e "$dir/$name" ] || return 1; done
}

# cuda_check reports missing CUDA libraries. The program searches all locations, including pip's
# packages; without it only those visible to the loader are found.
cuda_check() {
  local program missing
  program=$(dirname "${BASH_SOURCE[0]}")/../vicreg
  [ -x "$program" ] || program=$(command -v vicreg) || program=''
  if [ -n "$program" ]; then
    "$program" doctor --device cuda --onnxruntime "$dir" >&2 ||
      say "ONNX Runtime is in place, but does not run on a GPU here yet: see above"
    return
  fi
  if have ldd; then
    missing=$(LC_ALL=C ldd "$dir/libonnxruntime_providers_cuda.so" 2>/dev/null | awk '/not found/ { printf " %s", $1 }')
    [ -z "$missing" ] || say "not where the loader looks:$missing"
  fi
  say "it needs CUDA 13, cuDNN 9 and a driver: vicreg doctor --device cuda finds them, in pip's packages, too, and says what to install"
}

if complete && [ -z "$from" ]; then
  if known "$dir"; then
    if [ -n "$print" ]; then echo "$dir/$file"; exit 0; fi
    say "$dir/$file is there"
    [ -z "$cuda" ] || cuda_check
    exit 0
  fi
  say "$dir/$file${cuda:+, or a library beside it,} has a checksum that is not known"
fi
[ -z "$print" ] || die 1 "no ONNX Runtime $version${cuda:+ for CUDA} in $dir; run scripts/get-onnxruntime.sh$with"

# Everything is prepared in a temporary folder beside the target and moved there last, so that the
# installed files are always complete.
mkdir -p "$dir" || die 1 "cannot make the folder $dir"
tmp=$(mktemp -d "$dir/.fetch.XXXXXX") || die 1 "cannot write into $dir"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP

# The sources leave the files in $tmp/lib, or explain the failure and return 1. They are called by
# name from the loop at the end.

from_pip() {
  local pip python
  if have python3 && python3 -m pip --version >/dev/null 2>&1; then
    pip='python3 -m pip' python=python3
  elif have pip3 && have python3; then
    pip=pip3 python=python3
  elif have python && python -m pip --version >/dev/null 2>&1; then
    pip='python -m pip' python=python
  else
    say "pip: not installed"
    return 1
  fi
  # shellcheck disable=SC2086 # two words on purpose
  $pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
    --retries 2 --python-version 3.12 --implementation cp --abi cp312 --platform "$wheel" \
    --dest "$tmp/pip" "$package==$version" >&2 || { say "pip: cannot download the wheel"; return 1; }
  $python -m zipfile -e "$tmp"/pip/*.whl "$tmp/pip/wheel" || { say "pip: cannot unpack the wheel"; return 1; }
  local name
  for name in "${files[@]}"; do
    mv "$tmp/pip/wheel/onnxruntime/capi/$name" "$tmp/lib" || { say "pip: no $name in the wheel"; return 1; }
  done
  rm -rf "$tmp/pip"
}

from_npm() {
  have npm || { say "npm: not installed"; return 1; }
  mkdir -p "$tmp/npm"
  (cd "$tmp/npm" && npm pack --silent --fetch-retries=2 "onnxruntime-node@$version" >/dev/null) ||
    { say "npm: cannot download the package"; return 1; }
  member "$tmp"/npm/*.tgz "/$node" "$file" || { say "npm: no $node in the package"; return 1; }
}

from_release() {
  have curl || { say "release: curl is not installed"; return 1; }
  local name=onnxruntime-$release-$version.tgz part
  curl --fail --silent --show-error --location --proto '=https' --connect-timeout 20 --retry 2 --output "$tmp/$name" \
    "https://github.com/microsoft/onnxruntime/releases/download/v$version/$name" ||
    { say "release: cannot download $name"; return 1; }
  for part in "${files[@]}"; do
    member "$tmp/$name" "/lib/$part" "$part" || { say "release: no $part in $name"; return 1; }
  done
}

# member ARCHIVE END NAME: moves the member whose path ends in END to $tmp/lib/NAME.
member() {
  local path
  tar -tzf "$1" >"$tmp/list" || return 1
  path=$(awk -v end="$2" 'substr($0, length($0) - length(end) + 1) == end { p = $0 } END { print p }' "$tmp/list")
  [ -n "$path" ] || return 1
  mkdir -p "$tmp/tar"
  tar -xzf "$1" -C "$tmp/tar" "$path" && mv "$tmp/tar/$path" "$tmp/lib/$3"
}

# checked SOURCE: reports whether the files from it can be trusted.
checked() {
  local name want sums=() i=0
  for name in "${files[@]}"; do sums+=("$(sum "$tmp/lib/$name")"); done
  case $1 in
    pip) want=$pip_sums ;;
    npm) want=$npm_sums ;;
    release)
      known "$tmp/lib" && return
      if [ -n "$unverified" ]; then
        say "release: NOT VERIFIED, sha256 ${sums[*]}"
        printf '%s\n' "${sums[@]}" >"$dir/unverified.sha256"
        return
      fi
      say "release: sha256 ${sums[*]} is not recorded; check it yourself and run again with$with --from release --unverified"
      return 1 ;;
  esac
  for want in $want; do
    [ "${sums[i]}" = "$want" ] || { say "$1: sha256 of ${files[i]} is ${sums[i]}, want $want: refused"; return 1; }
    i=$((i + 1))
  done
}

for source in ${from:-$sources}; do
  say "trying $source"
  rm -rf "${tmp:?}/lib"
  mkdir "$tmp/lib"
  if "from_$source" && checked "$source"; then
    for name in "${files[@]}"; do
      chmod 644 "$tmp/lib/$name"
      mv -f "$tmp/lib/$name" "$dir/$name"
    done
    ln -s "$file" "$tmp/link"
    mv -f "$tmp/link" "$dir/$link"
    say "$dir/$file is there, from $source"
    rm -rf "$tmp"
    [ -z "$cuda" ] || cuda_check
    exit 0
  fi
done
die 1 "could not get ONNX Runtime $version for $release from ${from:-${sources// /, }}; if you have the library, put it into $dir or set VICREG_ONNXRUNTIME to it"
