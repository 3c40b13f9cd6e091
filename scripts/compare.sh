#!/usr/bin/env bash
# Measures this crate, burn and candle (peers/), and PyTorch, one after the other on the same tensors, and prints one
# table of all. What is not there is left out, and said. PYTHON chooses the Python that has torch.
#
#     scripts/compare.sh [REGEX]    ids to measure: work/tensor/who, such as 'training_forward/4096x256/'
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$target
python=${PYTHON:-python3}
filter=${1:-}

skipped=
skip() {
  echo "SKIPPED $1" >&2
  skipped+="- SKIPPED $1"$'\n'
}

# Nothing of an earlier run is to be taken for this one's.
rm -f "$target"/{throughput,peers,torch}.json

# Everything is built before anything is measured.
cargo bench --bench throughput --no-run
echo 'Building peers/: burn takes 20 minutes on two cores, the first time.'
peers=$target/peers/release/batchnorm-peers
cargo build --release --manifest-path peers/Cargo.toml --target-dir "$target/peers" || peers=

cargo bench --bench throughput -- "$filter"
if [ -n "$peers" ]; then
  "$peers" "$filter" || skip "burn and candle: $peers failed"
else
  skip 'burn and candle: peers/ does not build here, see above'
fi
if "$python" -c 'import torch' 2> /dev/null; then
  "$python" scripts/torch_batchnorm.py --filter "$filter" || skip 'PyTorch: scripts/torch_batchnorm.py failed'
else
  skip "PyTorch: $python has no torch (pip install torch, or PYTHON=...)"
fi
cargo bench --quiet --bench throughput -- --compare
printf '%s' "$skipped"
