#!/usr/bin/env bash
# Fetches the Go modules that go.mod names into Go's cache: scripts/docker/modules.sh.
# A step of its own, so that a change of the code does not repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

exec go mod download
