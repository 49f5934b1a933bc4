#!/usr/bin/env bash
# Everything the tests need, then all tests. Needs Go and a C compiler; the rest
# is fetched. Arguments go to go test: scripts/test.sh -run TestLoss.
#
# VICREG_REQUIRE_REFERENCE=1 makes it an error when python3 or node is there but the
# packages to compare with cannot be installed; otherwise those checks are skipped.
# VICREG_CHROMIUM names the browser for the tests of the search page, by default
# chromium; they skip where there is none, unless VICREG_REQUIRE_CHROMIUM=1.
# VICREG_TEST_DATA names the folder of data sets, by default ../shared/data; tests
# that want one skip when it is not there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

step "ONNX Runtime"
scripts/get-onnxruntime.sh

# With it and stand-ins for CUDA the sessions on a device are tested without one. It
# is 330 MB: fetched where nothing is to be skipped, used where it is.
step "ONNX Runtime for CUDA"
if [ "${VICREG_REQUIRE_REFERENCE:-}" = 1 ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
  scripts/get-onnxruntime.sh --cuda
else
  scripts/get-onnxruntime.sh --cuda --print 2>/dev/null || echo "SKIPPED: the tests of sessions on a CUDA device; scripts/get-onnxruntime.sh --cuda fetches what they need"
fi

# optional NAME SCRIPT WHAT: exports NAME as what SCRIPT prints. Where it cannot, NAME is
# not set and the tests that want it skip WHAT; see above for when that is an error.
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

# The race detector where Go code shares memory; the others spend their time in
# ONNX Runtime and the browser, which it cannot see, or in arithmetic, which it slows
# tenfold.
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

# The build with the other JPEG decoder, which Debian has in libturbojpeg0-dev.
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
