#!/usr/bin/env bash
# Test on several GPUs or processes, each image once: tools/dist_test.sh CONFIG CHECKPOINT GPUS [...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/dist_common.sh"
dist_run test.py 2 "$@"
