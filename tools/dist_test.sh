#!/usr/bin/env bash
# Test on several GPUs, or in several processes on the CPU where there is no CUDA.
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [switches of tools/test.py]
# On several machines, on each: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash ...
set -euo pipefail
source "$(dirname "$0")/dist_launch.sh"
[ $# -ge 3 ] || usage 'CONFIG CHECKPOINT GPUS [switches of tools/test.py]'
config=$1 checkpoint=$2 gpus=$3
shift 3
launch "$gpus" test.py "$config" "$checkpoint" "$@"
