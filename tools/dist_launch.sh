# Sourced by dist_train.sh and dist_test.sh.

usage() {
    echo "usage: bash $0 $1" >&2
    exit 2
}

# launch GPUS SCRIPT [arguments]: run a script of this folder in GPUS processes on this machine
launch() {
    local gpus=$1 script=$2
    shift 2
    if ! [[ $gpus =~ ^[1-9][0-9]*$ ]]; then
        echo "error: the number of GPUs (without CUDA: of processes) is 1 or more, not '$gpus'" >&2
        exit 2
    fi
    local rendezvous
    if [ "${NNODES:-1}" -gt 1 ] || [ -n "${PORT:-}" ]; then
        rendezvous=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
            --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
    else
        rendezvous=(--standalone) # on any free port
    fi
    exec python -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$gpus" \
        "$(dirname "$0")/$script" "$@" --launcher pytorch
}
