#!/usr/bin/env bash
# Packs what a machine without Rust and without network needs to be measured into one archive: release binaries, reference
# files, and the Vulkan loader's packages. There, ./measure.sh makes a report. Needs Debian's apt-get, for the loader.
#
#     scripts/kit/make.sh    writes target/wgpu-batchnorm-kit.tar.xz
set -euo pipefail
cd "$(dirname "$0")/../.."

limit_mib=60
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
name=wgpu-batchnorm-kit
kit=$target/$name
rm -rf "$kit"
mkdir -p "$kit"/{bin,scripts,benches,data,vulkan}

# The path of an executable that cargo built, by its name.
built() { # NAME CARGO-ARGUMENTS...
  local wanted=$1
  shift
  cargo "$@" --message-format json-render-diagnostics |
    sed -n "s/.*\"name\":\"$wanted\".*\"executable\":\"\([^\"]*\)\".*/\1/p" | tail -1
}
add() { # NAME PATH
  [ -n "$2" ] || { echo "$1 was not built" >&2; exit 1; }
  strip -o "$kit/bin/$1" "$2"
}
add throughput "$(built throughput build --release --workspace --bench throughput)"
add prepare "$(built prepare build --release --workspace --bench prepare)"
add conformance "$(built conformance build --release --workspace --example conformance)"
add plans "$(built plans build --release --workspace --example plans)"
peers=$target/peers/release/batchnorm-peers
if [ -x "$peers" ]; then
  add peers "$peers"
else
  echo "Without burn and candle: $peers is not built (make compare builds it)."
fi

cp scripts/torch_batchnorm.py "$kit/scripts/"
cp benches/shapes.txt "$kit/benches/"
cp tests/data/*/*.safetensors "$kit/data/"
cp scripts/kit/measure.sh scripts/kit/README.md "$kit/"
git rev-parse --short HEAD > "$kit/commit"
(cd "$kit/vulkan" && apt-get -qq download libvulkan1)

tar -C "$target" -cJf "$target/$name.tar.xz" "$name"
bytes=$(stat -c %s "$target/$name.tar.xz")
printf '%s: %.1f MiB\n' "$target/$name.tar.xz" "$(awk "BEGIN { print $bytes / 1048576 }")"
[ "$bytes" -le $((limit_mib << 20)) ] || { echo "The archive is larger than $limit_mib MiB." >&2; exit 1; }
