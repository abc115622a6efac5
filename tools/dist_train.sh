#!/usr/bin/env bash
# Train on the GPUs (or, without any, in several processes on the CPUs) of one or more machines.
#
#   tools/dist_train.sh CONFIG GPUS [--max-restarts N] [arguments of tools/train.py]
#
# Several machines: run it on each with NNODES, NODE_RANK and MASTER_ADDR set (PORT if 29500 is
# taken). Options of torchrun (--max-restarts, --nnodes, --node-rank, --rdzv-endpoint, ...) are
# passed on to it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/dist_common.sh"
dist_run "$here/train.py" 1 "$@"
