#!/usr/bin/env bash
# Train under Slurm:
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#       tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# With TIME (e.g. TIME=4:00:00) as a batch job that goes on over as many time limits as it takes:
# NOTICE seconds (120) before each the run is told to save; the job is queued again and resumes by
# itself. LOG names the log file. SRUN_ARGS are then sbatch's.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/slurm_common.sh"
slurm_run train.py 1 "$@"
