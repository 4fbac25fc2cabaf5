# Sourced by dist_train.sh and dist_test.sh.

usage() {
    echo "usage: bash $0 $1" >&2
    exit 2
}

# require_port PORT: end with an error if another program of this machine listens there
require_port() {
    if ! [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] || [ "$1" -gt 65535 ]; then
        echo "error: PORT is a number from 1 to 65535, not '$1'" >&2
        exit 2
    fi
    python - "$1" <<'END' || exit 2
import socket, sys
with socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET) as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torch does
    try:
        probe.bind(('', int(sys.argv[1])))
    except OSError as error:
        sys.exit(f'error: port {sys.argv[1]} cannot be used ({error.strerror}); choose another '
                 'with PORT=, the same on all machines, or leave it out on a single one')
END
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
    local name
    for name in NNODES NODE_RANK; do
        if ! [[ ${!name:-1} =~ ^[0-9]+$ ]]; then
            echo "error: $name is a number, not '${!name}'" >&2
            exit 2
        fi
    done
    if [ "${NODE_RANK:-0}" -ge "${NNODES:-1}" ]; then
        echo "error: NODE_RANK counts from 0 to NNODES - 1, and is $NODE_RANK of ${NNODES:-1}" >&2
        exit 2
    fi
    if [ "${NNODES:-1}" -gt 1 ] || [ -n "${PORT:-}" ]; then
        [ "${NODE_RANK:-0}" -gt 0 ] || require_port "${PORT:-29500}"
        rendezvous=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
            --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
    else
        rendezvous=(--standalone) # on any free port
    fi
    exec python -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$gpus" \
        "$(dirname "$0")/$script" "$@" --launcher pytorch
}
