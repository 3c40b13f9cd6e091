#!/usr/bin/env bash
# Compiles the library, with all its features and without, by the compiler of its rust-version: once with the newest
# dependencies that this one takes, once with the oldest that Cargo.toml allows. Without that compiler, only by cargo's own.
#
#     scripts/msrv.sh [--short]
#
# --short: the oldest dependencies only, since the newest state what they need (scripts/msrv.mjs), and all features but
# headless, which brings most of wgpu.
set -euo pipefail
cd "$(dirname "$0")/.."

short=${1:-}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
cargo=(cargo)
if command -v rustup > /dev/null && { rustup run "$version" rustc --version 2> /dev/null ||
  rustup toolchain install "$version" --profile minimal --no-self-update; }; then
  cargo=(rustup run "$version" cargo)
else
  echo "SKIPPED Rust $version: rustup does not have it here; $(rustc --version) compiles in its place" >&2
fi

scripts/bare.sh "$target/bare"
export CARGO_TARGET_DIR=$target/bare/target
check() { # TITLE
  printf '%s, by %s\n' "$1" "$("${cargo[@]}" --version)"
  (
    cd "$target/bare"
    if [ "$short" = --short ]; then
      "${cargo[@]}" check --locked --features safetensors,serde
    else
      "${cargo[@]}" check --locked
      "${cargo[@]}" check --locked --all-features
    fi
  )
}

if [ "$short" != --short ]; then
  rm -f "$target/bare/Cargo.lock"
  (cd "$target/bare" && cargo update --quiet)
  check 'The newest dependencies'
fi

# Only of the direct ones: those of others are theirs to state. The option is unstable, but works in every cargo.
(cd "$target/bare" && RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions)
check 'The oldest dependencies'
