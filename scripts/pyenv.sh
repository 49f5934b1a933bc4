#!/usr/bin/env bash
# Creates build/venv, a Python environment with the reference implementations that some tests
# compare with, or reuses it, and prints the path of its interpreter. The product itself does not
# need Python.
#
# Exit codes: 0 the path is on stdout; 3 this machine has no python3 with venv;
# 1 the packages could not be installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pins=(onnx==1.23.2 onnxruntime==1.30.0 kubernetes-validate==1.37.0)
venv=$PWD/build/venv
python=$venv/bin/python

# The stamp is written last: a venv without it, or with other pins, is rebuilt.
if [ -x "$python" ] && [ "$(cat "$venv/pins" 2>/dev/null)" = "${pins[*]}" ] && "$python" -c '' 2>/dev/null; then
  echo "$python"
  exit 0
fi
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  echo "pyenv.sh: no python3 with venv on this machine" >&2
  exit 3
fi
mkdir -p build
rm -rf "$venv"
python3 -m venv "$venv" >&2
"$python" -m pip install --quiet --no-input --disable-pip-version-check --retries 3 --only-binary :all: "${pins[@]}" >&2 || {
  echo "pyenv.sh: pip could not install ${pins[*]} for $(python3 --version)" >&2
  exit 1
}
echo "${pins[*]}" >"$venv/pins"
echo "$python"
