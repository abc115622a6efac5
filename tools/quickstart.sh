#!/usr/bin/env bash
# From a fresh clone to a trained and tested network: see `superres quickstart --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/tools/make_env.sh"
superres_make_env "$root" quickstart
cd "$root"
exec "$SUPERRES_ENV_PYTHON" -m superres quickstart "$@"
