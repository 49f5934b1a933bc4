#!/usr/bin/env bash
# Fetches the ONNX Runtime library that vicreg runs on. See --help.
# shellcheck disable=SC2329 # the sources are called by name
set -euo pipefail

version=1.30.0

usage() {
  cat <<END
Usage: scripts/get-onnxruntime.sh [--dir DIR] [--from pip|npm|release] [--unverified]
       scripts/get-onnxruntime.sh [--dir DIR] --print

Puts ONNX Runtime $version where vicreg looks for it:
  $(default_dir)

It takes the first of these that works, and checks its SHA-256:
  1. the library that is already there (no network is needed then)
  2. the onnxruntime wheel, through pip
  3. the onnxruntime-node package, through npm
  4. the archive of the official release, through curl

Options
  --dir DIR      put it into DIR. vicreg also looks into a folder .onnxruntime
                 beside the program, and at VICREG_ONNXRUNTIME, a file or folder.
  --from SOURCE  use this source only, even when the library is already there.
  --unverified   take the release archive although its checksum is not known.
  --print        print the path of the library in DIR and fetch nothing; exit 1
                 when there is none with the right checksum.
  --help         print this.

The checksum of the release archive's library has not been recorded: it is taken
when it equals that of another source, else refused unless --unverified says so;
DIR/unverified.sha256 then remembers it.

Platforms: linux x64; linux arm64 and macOS arm64 are UNTESTED: their packages
were unpacked and their checksums recorded, but the libraries have never been run.
On Linux the library needs glibc and libstdc++, so Alpine will not do.

Exit codes: 0 it is there, 1 it could not be had, 2 wrong usage or platform.
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

dir='' from='' unverified='' print=''
while [ $# -gt 0 ]; do
  case $1 in
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
[ -n "$dir" ] || dir=$(default_dir)

# Names of the platform in each source, and the SHA-256 of its library there.
case "$(uname -s) $(uname -m)" in
  "Linux x86_64")
    file=libonnxruntime.so.$version link=libonnxruntime.so
    wheel=manylinux_2_28_x86_64 node=linux/x64/libonnxruntime.so.1 release=linux-x64
    pip_sum=c902c70b3003c0e99fada202f37478c515ae9bba7944c2b2abd0017bae0c82ed
    npm_sum=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23 ;;
  "Linux aarch64" | "Linux arm64")
    file=libonnxruntime.so.$version link=libonnxruntime.so
    wheel=manylinux_2_28_aarch64 node=linux/arm64/libonnxruntime.so.1 release=linux-aarch64
    pip_sum=8a218e1e446880131115c368ec7005969a5022af9a15a26173de648fef0b7789
    npm_sum=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76 ;;
  "Darwin arm64")
    file=libonnxruntime.$version.dylib link=libonnxruntime.dylib
    wheel=macosx_14_0_arm64 node=darwin/arm64/libonnxruntime.$version.dylib release=osx-arm64
    pip_sum=b46713ea6a25a5227541c21001f6422c1ccdeaecc369aa026a61b752520325c3
    npm_sum=685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d ;;
  *) die 2 "there is no library for $(uname -s) $(uname -m): only linux x64, linux arm64 and macOS arm64" ;;
esac

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

# known FILE: is it, byte for byte, the library of one of the sources, or what
# --unverified took earlier?
known() {
  local s
  s=$(sum "$1")
  [ "$s" = "$pip_sum" ] || [ "$s" = "$npm_sum" ] || [ "$s" = "$(cat "$dir/unverified.sha256" 2>/dev/null)" ]
}

if [ -f "$dir/$file" ] && [ -e "$dir/$link" ] && [ -z "$from" ]; then
  if known "$dir/$file"; then
    if [ -n "$print" ]; then echo "$dir/$file"; else say "$dir/$file is there"; fi
    exit 0
  fi
  say "$dir/$file has a checksum that is not known"
fi
[ -z "$print" ] || die 1 "no ONNX Runtime $version in $dir; run scripts/get-onnxruntime.sh"

# Everything is made in a temporary folder beside the target and moved there
# last, so that what is in place is always whole.
mkdir -p "$dir" || die 1 "cannot make the folder $dir"
tmp=$(mktemp -d "$dir/.fetch.XXXXXX") || die 1 "cannot write into $dir"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP

# The sources leave the library at $tmp/lib, or say why not and return 1. They are
# called by name, from the loop at the end.

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
    --dest "$tmp/pip" "onnxruntime==$version" >&2 || { say "pip: cannot download the wheel"; return 1; }
  $python -m zipfile -e "$tmp"/pip/*.whl "$tmp/pip/wheel" || { say "pip: cannot unpack the wheel"; return 1; }
  mv "$tmp/pip/wheel/onnxruntime/capi/$file" "$tmp/lib" || { say "pip: no $file in the wheel"; return 1; }
}

from_npm() {
  have npm || { say "npm: not installed"; return 1; }
  mkdir -p "$tmp/npm"
  (cd "$tmp/npm" && npm pack --silent --fetch-retries=2 "onnxruntime-node@$version" >/dev/null) ||
    { say "npm: cannot download the package"; return 1; }
  member "$tmp"/npm/*.tgz "/$node" || { say "npm: no $node in the package"; return 1; }
}

from_release() {
  have curl || { say "release: curl is not installed"; return 1; }
  local name=onnxruntime-$release-$version.tgz
  curl --fail --silent --show-error --location --proto '=https' --connect-timeout 20 --retry 2 --output "$tmp/$name" \
    "https://github.com/microsoft/onnxruntime/releases/download/v$version/$name" ||
    { say "release: cannot download $name"; return 1; }
  member "$tmp/$name" "/lib/$file" || { say "release: no $file in $name"; return 1; }
}

# member ARCHIVE END: moves the member whose path ends so to $tmp/lib.
member() {
  local path
  tar -tzf "$1" >"$tmp/list" || return 1
  path=$(awk -v end="$2" 'substr($0, length($0) - length(end) + 1) == end { p = $0 } END { print p }' "$tmp/list")
  [ -n "$path" ] || return 1
  mkdir -p "$tmp/tar"
  tar -xzf "$1" -C "$tmp/tar" "$path" && mv "$tmp/tar/$path" "$tmp/lib"
}

# checked SOURCE: is the library that came from it to be trusted?
checked() {
  local got want
  got=$(sum "$tmp/lib")
  case $1 in
    pip) want=$pip_sum ;;
    npm) want=$npm_sum ;;
    release)
      known "$tmp/lib" && return
      if [ -n "$unverified" ]; then
        say "release: NOT VERIFIED, sha256 $got"
        echo "$got" >"$dir/unverified.sha256"
        return
      fi
      say "release: sha256 $got is not recorded; check it yourself and run again with --from release --unverified"
      return 1 ;;
  esac
  [ "$got" = "$want" ] || { say "$1: sha256 is $got, want $want: refused"; return 1; }
}

for source in ${from:-pip npm release}; do
  say "trying $source"
  rm -f "$tmp/lib"
  if "from_$source" && checked "$source"; then
    chmod 644 "$tmp/lib"
    mv -f "$tmp/lib" "$dir/$file"
    ln -s "$file" "$tmp/link"
    mv -f "$tmp/link" "$dir/$link"
    say "$dir/$file is there, from $source"
    exit 0
  fi
done
die 1 "could not get ONNX Runtime $version for $release from ${from:-pip, npm or the release}; if you have the library, put it into $dir or set VICREG_ONNXRUNTIME to it"
