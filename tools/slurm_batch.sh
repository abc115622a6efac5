#!/usr/bin/env bash
# Runs its arguments by srun; ends with 1 where a process died, else with the run's own exit code.
# slurm_train.sh starts it, or hands it in as a batch job, with SUPERRES_REQUEUE. Such a job is
# queued again when the run was stopped by anything but scancel: by the time limit, which SIGUSR1
# tells of, or by a job that goes before and leaves it a grace time. The run then resumes by itself
# (SLURM_RESTART_COUNT).
set -uo pipefail
told=0 step=
# shellcheck disable=SC2329  # called by the traps
pass() {
    [ -n "$step" ] && kill "-$1" "$step" 2>/dev/null
}
trap 'told=1; echo "time limit ahead: saving, to be queued again"; pass USR1' USR1
trap 'pass TERM' TERM
trap : INT # srun hears of Ctrl-C itself
# Sets named by STAGE go to each node's own disk first: say data_root=$STAGE_TO to the training.
# shellcheck disable=SC2086  # several names
[ -z "${STAGE:-}" ] || srun --ntasks="$SLURM_NNODES" --ntasks-per-node=1 cp -ru $STAGE "${STAGE_TO:?a folder on the nodes}/" || exit 1
# Where one process fails, the others say so and end by themselves; what hangs is killed later.
srun --kill-on-bad-exit=0 --wait=120 "$@" &
step=$!
# A signal interrupts wait, so ask again for as long as the step is running.
while :; do
    wait "$step"
    code=$?
    kill -0 "$step" 2>/dev/null || break
done
# 138: the notice came while Python was starting, and there was nothing to save.
if [ -n "${SUPERRES_REQUEUE:-}" ] && [[ $code = 143 || $told$code = 1138 ]] &&
    scontrol show job "$SLURM_JOB_ID" | grep -q JobState=RUNNING; then
    [ "$told" = 1 ] || echo "stopped from outside, and saved: to be queued again"
    scontrol requeue "$SLURM_JOB_ID" && exit 0
    echo "error: the run has saved, but job $SLURM_JOB_ID could not be queued again; hand it in once more with --resume" >&2
    exit 1
fi
case $code in
    0 | 1 | 2 | 130 | 143) exit "$code" ;;
    137) why="a process was killed, as the system does when memory runs out" ;;
    *) why="a process died with code $code" ;;
esac
[ "$told" = 0 ] || why="$why before the run had saved: give it more notice (NOTICE=$((2 * ${NOTICE:-120})))"
echo "error: $why; its own output is above. Continue with --resume" >&2
exit 1
