#!/usr/bin/env bash
# Checks what must hold before a release, and publishes nothing; docs/release.md explains it. With --short it compiles
# nothing that other stages of CI have compiled.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
verify=()
[ "${1:-}" = --short ] && verify=(--no-verify)

echo '== Packages, compatibility, changelog'
node scripts/release.mjs

echo '== Licences'
make --no-print-directory licences | grep -v ' ([0-9]*): '

# What is beside the layer depends on a release of it, which may not be there yet: this checkout takes its place.
patch="patch.crates-io.wgpu-batchnorm.path=\"$(pwd)\""
for manifest in Cargo.toml */Cargo.toml; do
  name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
  grep -q '^publish = false' "$manifest" && continue
  echo "== Dry run of publishing $name"
  config=()
  [ "$manifest" = Cargo.toml ] || config=(--config "$patch")
  cargo publish --dry-run --allow-dirty --manifest-path "$manifest" -p "$name" --target-dir "$target" \
    "${verify[@]}" "${config[@]}"
done

echo '== Semantic versioning'
if ! tag=$(git describe --tags --abbrev=0 --match 'v*' 2> /dev/null); then
  echo 'SKIPPED: there is no tag v* to compare with; the first release makes one.'
elif ! command -v cargo-semver-checks > /dev/null; then
  echo "SKIPPED: cargo-semver-checks is not there (cargo install --locked cargo-semver-checks)"
else
  cargo semver-checks --package wgpu-batchnorm --all-features --baseline-rev "$tag"
fi

[ "${1:-}" = --short ] && exit
echo '== Minimum Rust version, newest and oldest dependencies'
make --no-print-directory msrv
