#!/usr/bin/env bash
# Packages the crate as for publishing, and fails where the package lacks something, holds something that is of no
# use to users of the crate, or cargo warns. Arguments go to cargo package.
set -euo pipefail

files=$(cargo package -p wgpu-batchnorm --list "$@")
for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE src/lib.rs; do
  grep -qxF "$file" <<< "$files" || { echo "the package lacks $file" >&2; exit 1; }
done
if grep -E '^(\.ci|scripts|experiments|peers|burn|isa|mpi|web|testkit|tests/data|examples/data)/' <<< "$files"; then
  echo 'the package holds the files above, which are for development only' >&2
  exit 1
fi
log=$(cargo package -p wgpu-batchnorm "$@" 2>&1) || { echo "$log" >&2; exit 1; }
echo "$log"
if grep -q '^warning' <<< "$log"; then
  echo 'cargo warns of the package' >&2
  exit 1
fi
