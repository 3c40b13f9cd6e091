#!/usr/bin/env bash
# Runs cargo-mutants on the driver: scripts/mutants/driver.sh [options of cargo mutants]
# First the tests that need no device, then those of a device that are quick, on what is left.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${CARGO_TARGET_DIR:-target}/mutants
quick=(
  drill:: reference:: errors:: messages:: memory:: splits::folded splits::plans_pinned pieces:: ranges:: views:: mask_steps::
  overlaps:: bindings:: placement:: limits::workgroups coverage::surplus coverage::rows_of_single
  coverage::planes_of_packets_of_4 coverage::rows_of_packets_of_4
)
mkdir -p "$out"
# 2 and 3 say that some were missed or took too long: these are what the second run is for.
cargo mutants --output "$out" --cargo-arg=--lib "$@" || [[ $? = [23] ]]
cargo mutants --output "$out" --iterate --cargo-arg=--test=gpu "$@" -- -- "${quick[@]}"
