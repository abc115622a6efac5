#!/usr/bin/env bash
# Run the tests; arguments are pytest's. Without any: everything but the slow and GPU tests.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tools/make_env.sh"
superres_make_env "$root" tests
cd "$root"
if [ $# -eq 0 ]; then
    set -- -m "not slow and not gpu and not slurm" -n "${SUPERRES_TEST_WORKERS:-2}"
fi
exec "$SUPERRES_ENV_PYTHON" -m pytest "$@"
