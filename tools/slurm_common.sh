# Sourced by slurm_train.sh and slurm_test.sh.

# slurm_seconds TIME: of [days-]hours:minutes:seconds and the shorter forms that Slurm takes; 0 where
# there is no limit, or no time that it would take.
slurm_seconds() {
    awk -F'[-:]' '!/^[0-9]+(-[0-9]+)?(:[0-9]+)?(:[0-9]+)?$/ { print 0; next }
        /-/ { print (($1 * 24 + $2) * 60 + $3) * 60 + $4; next }
        NF == 3 { print ($1 * 60 + $2) * 60 + $3; next }
        { print $1 * 60 + $2 }' <<<"$1"
}

# slurm_run SCRIPT NUMBER_OF_POSITIONALS PARTITION JOB_NAME POSITIONAL... [options]
slurm_run() {
    local script count=$2
    script=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$1
    shift 2
    if [ $# -lt $((count + 2)) ] || [[ "${1:-}" == -* ]]; then
        echo "usage: $(basename "${0}") PARTITION JOB_NAME $([ "$count" = 2 ] && echo 'CONFIG CHECKPOINT' || echo CONFIG) [arguments]" >&2
        exit 2
    fi
    local start=srun
    [ -n "${TIME:-}" ] && start=sbatch
    if ! command -v "$start" >/dev/null; then
        echo "error: $start is not on this machine; run this where Slurm's commands are, or use tools/dist_train.sh" >&2
        exit 2
    fi
    local partition=$1 job=$2
    shift 2
    local gpus=${GPUS:-8}
    local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    local tools=${script%/*}
    export PYTHONPATH="${tools%/*}${PYTHONPATH:+:$PYTHONPATH}"
    local resources=(-p "$partition" --job-name="$job" --ntasks="$gpus"
        --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}") has
    has=$(sinfo --noheader --partition="$partition" --format=%G 2>/dev/null) || has=
    if [ -z "$has" ] || [[ $has == *gpu* ]]; then
        resources+=(--gres="gpu:$per_node")
    else
        echo "note: partition $partition has no GPUs: $gpus processes on its CPUs" >&2
    fi
    # shellcheck disable=SC2206  # SRUN_ARGS is a list of options
    local more=(${SRUN_ARGS:-})
    local run=("${PYTHON:-python}" -u "$script" "$@" --launcher slurm)
    if [ "$start" = srun ]; then
        exec bash "$tools/slurm_batch.sh" "${resources[@]}" ${more[@]+"${more[@]}"} "${run[@]}"
    fi
    local notice=${NOTICE:-120} limit
    limit=$(slurm_seconds "$TIME")
    if [ "$limit" -gt 0 ] && [ $((limit - notice)) -lt 60 ]; then
        echo "error: NOTICE=$notice leaves less than a minute of TIME=$TIME to train in, and Slurm may give notice a minute early; name a longer TIME or a shorter NOTICE" >&2
        exit 2
    fi
    # B: the batch script alone gets the signal. --open-mode: one log over all restarts.
    export SUPERRES_REQUEUE=1
    exec sbatch "${resources[@]}" --time="$TIME" --signal="B:USR1@$notice" --requeue \
        --open-mode=append --output="${LOG:-%x-%j.log}" ${more[@]+"${more[@]}"} \
        "$tools/slurm_batch.sh" "${run[@]}"
}
