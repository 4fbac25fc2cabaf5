#!/usr/bin/env bash
# Test under Slurm: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS="..."] \
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [switches of tools/test.py]
set -euo pipefail
source "$(dirname "$0")/slurm_launch.sh"
[ $# -ge 4 ] || usage 'PARTITION JOB_NAME CONFIG CHECKPOINT [switches of tools/test.py]'
partition=$1 job=$2
shift 2
launch "$partition" "$job" test.py "$@"
