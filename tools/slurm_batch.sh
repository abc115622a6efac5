#!/usr/bin/env bash
# The batch job that slurm_train.sh hands in where TIME is set: runs its arguments by srun. Told by
# SIGUSR1 that the time limit is near, it passes the signal on, waits until all ranks have saved,
# and queues the job again. The run then resumes by itself (SLURM_RESTART_COUNT).
set -uo pipefail
told=0 step=
# shellcheck disable=SC2329  # called by the trap
notice() {
    told=1
    echo "time limit ahead: saving, to be queued again"
    [ -n "$step" ] && kill -USR1 "$step" 2>/dev/null
}
trap notice USR1
# Sets named by STAGE go to each node's own disk first: say data_root=$STAGE_TO to the training.
# shellcheck disable=SC2086  # several names
[ -z "${STAGE:-}" ] || srun --ntasks="$SLURM_NNODES" --ntasks-per-node=1 cp -ru $STAGE "${STAGE_TO:?a folder on the nodes}/" || exit 1
srun --kill-on-bad-exit=1 "$@" &
step=$!
# A signal interrupts wait, so ask again for as long as the step is running.
while :; do
    wait "$step"
    code=$?
    kill -0 "$step" 2>/dev/null || break
done
if [ "$told" = 1 ] && [ "$code" = 143 ]; then
    scontrol requeue "$SLURM_JOB_ID" && exit 0
    echo "error: the run has saved, but job $SLURM_JOB_ID could not be queued again; hand it in once more with --resume" >&2
    exit 1
fi
[ "$told" = 1 ] && [ "$code" != 0 ] && echo "error: the run ended with code $code before it had saved; give it more notice (NOTICE=$((2 * ${NOTICE:-120})))" >&2
exit "$code"
