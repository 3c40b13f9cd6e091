#!/usr/bin/env bash
# Builds and runs the program of README.md as a reader does: in a new crate, with the dependencies that README.md lists.
# Only wgpu-batchnorm itself comes from this checkout, as the package that would be published: a file that it lacks is
# missed here.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
crate=$target/snippet
package=$crate/package
rm -rf "$package"
mkdir -p "$crate/src" "$package"
rm -f "$target"/package/wgpu-batchnorm-*.crate
cargo package -p wgpu-batchnorm --no-verify --allow-dirty --target-dir "$target" --quiet
tar xzf "$target"/package/wgpu-batchnorm-*.crate -C "$package" --strip-components 1

block() { # LANGUAGE: the one code block of this language in README.md
  awk -v fence='```'"$1" '$0 == fence { inside = 1; count++; next } $0 == "```" { inside = 0 } inside
    END { if (count != 1) { print "README.md must have one block " fence ", it has " count + 0 > "/dev/stderr"; exit 1 } }' README.md
}

{
  printf '[package]\nname = "snippet"\nversion = "0.0.0"\nedition = "2024"\n\n'
  block toml
  printf '\n[patch.crates-io]\nwgpu-batchnorm = { path = "%s" }\n' "$package"
  printf '\n[workspace]\n'
} > "$crate/Cargo.toml"
block rust > "$crate/src/main.rs"
# The versions that the tests have run with, where there are any.
[ -e Cargo.lock ] && cp Cargo.lock "$crate/Cargo.lock"

# The target directory is shared for its procedural macros. wgpu is built anew, with the features that it has here, and
# without optimization and debug information this takes half as long.
CARGO_TARGET_DIR=$target CARGO_PROFILE_DEV_DEBUG=0 cargo run --manifest-path "$crate/Cargo.toml"
