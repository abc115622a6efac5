#!/usr/bin/env bash
# Train on the GPUs (or, without any, in several processes on the CPUs) of one or more nodes:
#   tools/dist_train.sh CONFIG GPUS [options of torchrun, --NAME=VALUE, and of tools/train.py]
# Several nodes: run it on each with NNODES, NODE_RANK and MASTER_ADDR set (PORT if 29500 is taken).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/dist_common.sh"
dist_run train.py 1 "$@"
