#!/usr/bin/env bash
# Fuzzes each reader of files and text in turn: fuzz_readers.sh [libFuzzer's options]. Inputs that reach new code are kept
# in target/fuzz; fuzz_readers.sh --keep adds to fuzz/corpus as few of them as reach all of it.
set -euo pipefail
cd "$(dirname "$0")/.."

kept=${CARGO_TARGET_DIR:-target}/fuzz
for target in fuzz/targets/*.rs; do
  reader=$(basename "$target" .rs)
  found=$kept/$reader
  corpus=fuzz/corpus/$reader
  mkdir -p "$found" "$corpus"
  if [ "${1:-}" = --keep ]; then
    cargo +nightly fuzz run --fuzz-dir fuzz "$reader" "$corpus" "$found" -- -merge=1
    continue
  fi
  others=()
  [ "$reader" = reference ] && others=(tests/data/onnx tests/data/pytorch tests/data/extended)
  echo "==== $reader"
  cargo +nightly fuzz run --fuzz-dir fuzz "$reader" "$found" "$corpus" "${others[@]}" -- \
    -max_len=16384 -print_final_stats=1 "${@:--max_total_time=60}"
done
