#!/usr/bin/env bash
# Runs the tests of tests/gpu on mutants of the shaders: scripts/mutants/shaders.sh [options of examples/mutants.rs]
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
# One build for all mutants: the layer in it reads the file that is mutated when it composes a shader.
export RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/mutants/rustc.sh
cargo build --workspace --example mutants
tests=$(cargo test --workspace --test gpu --no-run --message-format json |
  sed -n 's/.*"executable":"\([^"]*gpu-[^"]*\)".*/\1/p')
unset RUSTC_WORKSPACE_WRAPPER

# Mesa keeps what it compiles by the shader's code: what a mutant leaves as it is is compiled once.
export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-$target/mutants/cache} MESA_SHADER_CACHE_MAX_SIZE=10G
mkdir -p "$MESA_SHADER_CACHE_DIR"
exec "$target/debug/examples/mutants" --tests "$tests" --report "$target/mutants/shaders.jsonl" "$@"
