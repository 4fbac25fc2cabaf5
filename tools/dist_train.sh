#!/usr/bin/env bash
# Train on several GPUs, or in several processes on the CPU where there is no CUDA.
#   bash tools/dist_train.sh CONFIG GPUS [switches of tools/train.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash ...
set -euo pipefail
source "$(dirname "$0")/dist_launch.sh"
[ $# -ge 2 ] || usage 'CONFIG GPUS [switches of tools/train.py]'
config=$1 gpus=$2
shift 2
launch "$gpus" train.py "$config" "$@"
