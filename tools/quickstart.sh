#!/usr/bin/env bash
# From a fresh clone to a trained and tested network: see `superres quickstart --help`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/make_env.sh"
superres_make_env quickstart
exec "$SUPERRES_ENV_PYTHON" -m superres quickstart "$@"
