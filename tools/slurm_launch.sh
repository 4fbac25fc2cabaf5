# Sourced by slurm_train.sh and slurm_test.sh.

usage() {
    echo "usage: bash $0 $1" >&2
    exit 2
}

# launch PARTITION JOB_NAME SCRIPT [arguments]: run a script of this folder, one task a GPU
launch() {
    local partition=$1 job=$2 script=$3
    shift 3
    local gpus=${GPUS:-8}
    local per_node=${GPUS_PER_NODE:-8}
    local name
    for name in gpus per_node; do
        if ! [[ ${!name} =~ ^[1-9][0-9]*$ ]]; then
            echo "error: GPUS and GPUS_PER_NODE are 1 or more, not '${!name}'" >&2
            exit 2
        fi
    done
    per_node=$((gpus < per_node ? gpus : per_node))
    # shellcheck disable=SC2086  # SRUN_ARGS is a list of words
    exec srun --partition="$partition" --job-name="$job" --gres="gpu:$per_node" \
        --ntasks="$gpus" --ntasks-per-node="$per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        python -u "$(dirname "$0")/$script" "$@" --launcher slurm
}
