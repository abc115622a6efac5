#!/usr/bin/env bash
# Test on several GPUs or processes, each image once: tools/dist_test.sh CONFIG CHECKPOINT GPUS [...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/dist_common.sh"
dist_run "$here/test.py" 2 "$@"
