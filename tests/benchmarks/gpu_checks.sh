#!/usr/bin/env bash
# What only a GPU can tell, in one go of some nine minutes: silhouettes in Triton against those in PyTorch, and their
# times; then a data set of many people, bodies fitted to their masks, and a pose network trained on them.
#
#   bash tests/benchmarks/gpu_checks.sh OUT [WHEELS]
#
# OUT     logs, tables and weights (files of at most 16 MB); nothing else is kept but WORK
# WHEELS  a folder of wheels for what is missing besides torch, torchvision, numpy, numba and OpenCV; no network is used
# WORK    data and runs, /tmp/gpu_checks if not set
# SECONDS_IN_ALL, 560: the training takes as many steps as are left of it, at STEP_MS (27 on an H200) each
#
# Rehearse it on a CPU at tiny size:  TINY=1 bash tests/benchmarks/gpu_checks.sh /tmp/out
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
OUT=$(realpath -m "$1"); WORK=${WORK:-/tmp/gpu_checks}
mkdir -p "$OUT" "$WORK"
if [ -n "${2:-}" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$WORK/site" "$2"/*.whl || exit
fi
export PYTHONPATH="$WORK/site:$PWD" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TQDM_MININTERVAL=5 COLUMNS=100
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} NUMBA_CACHE_DIR="$WORK/numba"

PEOPLE=${PEOPLE:-"1 5 6 7 8 $(seq -s ' ' 121 157)"}
TEST="9 11 101 102 103 104 105 106"
STEPS=${STEPS:-}; BATCH=${BATCH:-256}; WIDTH=${WIDTH:-48}; PX=${PX:-128}; PACK_PX=192; WORKERS=${WORKERS:-15}
FRAMES=${FRAMES:-}; FIT="--every 2 --batch 300 --processes ${FITTERS:-14}"
if [ -n "${TINY:-}" ]; then
  PEOPLE="1 121"; STEPS=4; BATCH=8; WIDTH=8; PX=32; PACK_PX=64; WORKERS=1
  FRAMES="--frames 4 --actions 2 4 9 --size-px 96"; FIT="--steps.steps 3 --steps.shape-steps 2"
fi
UNLABELLED=${PEOPLE#1 }  # everybody but S1
DATA="$WORK/data"; RUNS="$WORK/runs"
has_gpu() { python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; }
part() {  # part NAME COMMAND...: run it, keep its output and its time; go on whatever happens
  local begun=$SECONDS name=$1; shift
  "$@" > "$OUT/$name.log" 2>&1; local code=$?
  echo "$name: exit $code, $((SECONDS - begun)) s" | tee -a "$OUT/times.txt"
  [ $code -eq 0 ] || tail -n 15 "$OUT/$name.log" | cut -c1-300
  return $code
}

data() {
  part make python3 dataset_def/synthetic/make_h36m.py --dataset "$DATA" --subjects $PEOPLE $FRAMES &&
  part pack python3 dataset_def/h36m_preprocess.py --dataset "$DATA" --pack-px $PACK_PX --pack-side-m 3.3
}
rooms() { part rooms python3 dataset_def/h36m_get_background.py --dataset "$DATA"; }
silhouettes() {
  part silhouette_tests python3 -m pytest -q -p no:cacheprovider -p no:xdist tests/unit/models/test_silhouette.py -k triton
  has_gpu && part silhouette_times timeout 200 python3 tests/benchmarks/bench_silhouette.py \
    --result "$OUT/silhouette.json" --masks 32 128 --sizes-px 64 128 256 --budget-s 0.05
}
fits() {
  part fits python3 sample/fit_SMPL.py --dataset "$DATA" --paths.runs-location "$RUNS" --name gpu \
    --subjects $UNLABELLED --people.test $TEST $FIT && cp "$RUNS/fit/gpu/pseudo_labels.npz" "$OUT/"
}
pose() {  # labels of S1, fits of everybody else
  local left=$((${SECONDS_IN_ALL:-560} - SECONDS)); local steps=${STEPS:-$(((left - 90) * 1000 / ${STEP_MS:-27}))}
  part pose timeout $((${TINY:+600} + left + 20)) python3 sample/train_3d_pose_from_enc.py --encoder none --mode scratch --name pose \
    --dataset "$DATA" --paths.runs-location "$RUNS" --pseudo-labels "$RUNS/fit/gpu/pseudo_labels.npz" \
    --subjects.train $PEOPLE --subjects.test $TEST --untrained.crop.size-px $PX --untrained.encoder.width $WIDTH \
    --augment.scale 0.3 --augment.shift-m 0.25 --batch $BATCH --in-memory --optim.steps "$steps" --optim.lr 3e-3 \
    --optim.warmup-steps 300 --optim.bf16 --loop.workers $WORKERS --loop.validate-every $((steps / 2 + 1)) \
    --loop.checkpoint-every $((steps / 4 + 1)) --loop.overwrite
  cp "$RUNS/pose/pose/checkpoint_best.pt" "$OUT/pose.pt"
  cp "$RUNS"/pose/pose/{history.jsonl,config.json} "$OUT/"
}

python3 -c 'import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU")' | tee "$OUT/times.txt"
{ data && { rooms & fits; wait; }; } & silhouettes & wait
[ -e "$RUNS/fit/gpu/pseudo_labels.npz" ] && pose
! grep -v ": exit 0," "$OUT/times.txt" | grep ": exit "  # whatever failed is named again, and fails the whole
