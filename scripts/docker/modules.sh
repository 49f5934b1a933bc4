#!/usr/bin/env bash
# Fetches the Go modules in go.mod into Go's cache: scripts/docker/modules.sh. This is a separate
# step, so that changing the code does not repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

exec go mod download
