#!/usr/bin/env bash
# Installs what the tests need, then runs all tests. Needs Go and a C compiler; the rest is fetched.
# Arguments are passed to go test: scripts/test.sh -run TestLoss.
#
# VICREG_REQUIRE_REFERENCE=1 makes it an error if python3 or node exists but the packages to compare
# with cannot be installed; otherwise those checks are skipped. VICREG_CHROMIUM names the browser
# for the tests of the search page, by default chromium; without one they are skipped, unless
# VICREG_REQUIRE_CHROMIUM=1. VICREG_TEST_DATA names the folder of data sets, by default
# ../shared/data; tests that need a missing one are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

step "ONNX Runtime"
scripts/get-onnxruntime.sh

# With this library and stand-ins for CUDA, sessions on a device are tested without a device. It is
# 330 MB, so it is fetched only if nothing may be skipped, and used if present.
step "ONNX Runtime for CUDA"
if [ "${VICREG_REQUIRE_REFERENCE:-}" = 1 ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
  scripts/get-onnxruntime.sh --cuda
else
  scripts/get-onnxruntime.sh --cuda --print 2>/dev/null || echo "SKIPPED: the tests of sessions on a CUDA device; scripts/get-onnxruntime.sh --cuda fetches what they need"
fi

# optional NAME SCRIPT WHAT: exports NAME as what SCRIPT prints. If that fails, NAME is not set and
# the tests that need it skip WHAT; see above for when that is an error.
optional() {
  local value code=0
  value=$("$2") || code=$?
  if [ "$code" = 0 ]; then
    export "$1=$value"
    echo "with $value"
  elif [ "$code" = 3 ] || [ "${VICREG_REQUIRE_REFERENCE:-}" != 1 ]; then
    unset "$1"
    echo "SKIPPED: $3"
  else
    exit 1
  fi
}

step "reference checks"
optional VICREG_PYTHON scripts/pyenv.sh "the comparisons with the onnx and onnxruntime Python packages"
step "clients"
optional VICREG_NODE_MODULES scripts/nodeenv.sh "the calls of the OpenAI client for JavaScript"

step "browser"
command -v "${VICREG_CHROMIUM:-chromium}" || echo "SKIPPED: the tests of the search page, unless they find another browser than chromium"

step "formatting, vet, shell syntax"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted by gofmt:\n%s\n' "$unformatted" >&2
  exit 1
fi
go vet ./...
for f in scripts/*.sh scripts/bench/*.sh scripts/docker/*.sh .ci/run; do
  [ ! -f "$f" ] || bash -n "$f"
done

# The race detector runs on packages whose Go code shares memory; the others spend their time in
# ONNX Runtime and the browser, which it cannot see, or in arithmetic, which it slows down tenfold.
packages=$(go list ./...)
race=() plain=()
for p in $packages; do
  case $p in
    vicreg/server/page) plain+=("$p") ;;
    vicreg/models/tensor | vicreg/pipeline/bulk | vicreg/pipeline/checkpoint | vicreg/pipeline/dataset | vicreg/pipeline/encoder | vicreg/pipeline/stats | \
      vicreg/pipeline/thumbnail | vicreg/pipeline/usage | vicreg/pipeline/vectors | vicreg/pipeline/whole | vicreg/server*)
      race+=("$p") ;;
    *) plain+=("$p") ;;
  esac
done
failed=0
step "tests"
go test "$@" "${plain[@]}" || failed=1
step "tests with the race detector"
go test -race "$@" "${race[@]}" || failed=1
step "sessions that run at once, with the race detector"
go test -race -run 'Buffer|Session|RunAtOnce|RunsAtOnce|RunStops' "$@" ./models/ort || failed=1 # the rest is arithmetic

# The build with the other JPEG decoder, from Debian's libturbojpeg0-dev.
step "tests with libjpeg-turbo"
if pkg-config --exists libturbojpeg 2>/dev/null; then
  go vet -tags turbojpeg ./... || failed=1
  go test -tags turbojpeg "$@" ./pipeline/imaging ./pipeline/dataset || failed=1
else
  echo "SKIPPED: pkg-config does not find libturbojpeg"
fi

step "the steps of the Dockerfile"
scripts/docker/test.sh || failed=1
exit "$failed"
