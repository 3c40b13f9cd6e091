#!/usr/bin/env bash
# Copies the library, without what is only for its development, to a folder as a crate of its own, so that cargo resolves
# what users of it get and nothing else.
#
#     scripts/bare.sh FOLDER
set -euo pipefail
folder=$(realpath -m "${1:?usage: scripts/bare.sh FOLDER}")
cd "$(dirname "$0")/.."

rm -rf "$folder/src" "$folder/shaders"
mkdir -p "$folder"
cp -r src shaders README.md "$folder"
# Without the sections of other targets, development dependencies, the workspace and profiles.
awk '/^\[/ { inside = !/^\[(dev-dependencies|workspace|profile\.|\[bench)/ } inside
  END { print "\n[workspace]" }' Cargo.toml > "$folder/Cargo.toml"
