#!/usr/bin/env bash
# Run the tests; arguments are pytest's. Without any: everything but the slow and GPU tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/make_env.sh"
superres_make_env tests
if [ $# -eq 0 ]; then
    set -- -m "not slow and not gpu and not slurm" -n "${SUPERRES_TEST_WORKERS:-2}"
fi
exec "$SUPERRES_ENV_PYTHON" -m pytest "$@"
