# Sourced by dist_train.sh and dist_test.sh.

# dist_run SCRIPT NUMBER_OF_POSITIONALS POSITIONAL... GPUS [options]
dist_run() {
    local script count=$2
    script=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$1
    shift 2
    if [ $# -le "$count" ] || ! [[ "${*:count+1:1}" =~ ^[1-9][0-9]*$ ]]; then
        echo "usage: $(basename "$0") CONFIG $([ "$count" = 2 ] && echo 'CHECKPOINT ')GPUS [arguments]; GPUS: number of processes per node" >&2
        exit 2
    fi
    local positionals=("${@:1:count}") gpus=${*:count+1:1}
    shift $((count + 1))
    local run=() rest=() nnodes=${NNODES:-1} conf= option
    for option in "$@"; do
        case ${option//_/-} in
            --nnodes=*) nnodes=${option#*=} ;;
            --rdzv-conf=*) conf=,${option#*=} ;;
            --max-restarts=* | --node-rank=* | --local-addr=* | --monitor-interval=* | --rdzv-*=*) run+=("$option") ;;
            *) rest+=("$option") ;;
        esac
    done
    # c10d rendezvous restarts a killed rank; a fixed master port would hang instead. On one node
    # port 0 takes a free one. Nodes find each other by endpoint and id.
    local endpoint=${MASTER_ADDR:-localhost}:${PORT:-0} id=${SLURM_JOB_ID:-$$}
    if [ "$nnodes" != 1 ]; then
        endpoint=${MASTER_ADDR:?set MASTER_ADDR to the first node}:${PORT:-${MASTER_PORT:-29500}}
        id=${SLURM_JOB_ID:-run}
    fi
    # torchrun takes a node for dead whose clock is 15 s behind its own; ours may be 10 min off. And
    # it guesses by host names which node is the first, which it need not where we know.
    conf=keep_alive_max_attempt=120$conf
    if [ "$nnodes" = 1 ] || [ -n "${NODE_RANK:-}" ]; then
        conf=is_host=$([ "${NODE_RANK:-0}" = 0 ] || [ "$nnodes" = 1 ] && echo 1 || echo 0),$conf
    fi
    # Shared evenly unless the user says otherwise; torchrun's own default is one thread.
    local share=$(($(nproc 2>/dev/null || echo 1) / gpus))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((share > 1 ? share : 1))}
    local root=${script%/tools/*}
    export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
    exec "${PYTHON:-$(command -v python || echo python3)}" -m superres.engine.distributed.torchrun \
        --nnodes="$nnodes" --nproc-per-node="$gpus" --max-restarts=0 \
        --rdzv-backend=c10d --rdzv-endpoint="$endpoint" --rdzv-id="superres-$id" \
        ${run[@]+"${run[@]}"} --rdzv-conf="$conf" \
        "$script" "${positionals[@]}" --launcher pytorch ${rest[@]+"${rest[@]}"}
}
