#!/usr/bin/env bash
# Test under Slurm, with the variables of slurm_train.sh:
#   [GPUS=8] tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/slurm_common.sh"
slurm_run test.py 2 "$@"
