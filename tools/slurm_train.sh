#!/usr/bin/env bash
# Train under Slurm: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS="..."] \
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [switches of tools/train.py]
set -euo pipefail
source "$(dirname "$0")/slurm_launch.sh"
[ $# -ge 3 ] || usage 'PARTITION JOB_NAME CONFIG [switches of tools/train.py]'
partition=$1 job=$2
shift 2
launch "$partition" "$job" train.py "$@"
