#!/usr/bin/env bash
# Measures wgpu-batchnorm on this machine, and writes report.md and report.json. Needs bash, awk and
# a Vulkan driver; where the loader (libvulkan.so.1) is missing, it unpacks its own.
#
#     ./measure.sh [--quick]    --quick only shows that everything runs
set -uo pipefail
cd "$(dirname "$0")"

quick=
[ "${1:-}" = --quick ] && quick=1
out=$PWD/report
rm -rf "$out"
mkdir -p "$out"
export CARGO_TARGET_DIR=$out
# wgpu asks for a window system, which is not needed.
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$out}
start=$SECONDS
failed=()

if ! ldconfig -p 2> /dev/null | grep -q libvulkan.so.1; then
  # A package is an ar archive of tar archives.
  (cd vulkan && if command -v dpkg-deb > /dev/null; then dpkg-deb -x libvulkan1_*.deb . ; else ar x libvulkan1_*.deb && tar xf data.tar.*; fi)
  LD_LIBRARY_PATH=$(dirname "$(find "$PWD/vulkan" -name libvulkan.so.1 | head -1)"):${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH
fi

# Runs a command, and keeps what it prints as a section of the report.
section() { # TITLE COMMAND...
  local title=$1 begun=$SECONDS status=0 command
  shift
  echo "== $title"
  "$@" > "$out/last" 2>&1 || status=$?
  [ $status = 0 ] || failed+=("$title (exit code $status)")
  {
    command=$*
    [ ${#command} -le 200 ] || command="${command:0:200} …"
    printf '## %s\n\n`%s`, %d s' "$title" "$command" $((SECONDS - begun))
    [ $status = 0 ] || printf ', **exit code %d**' $status
    printf '\n\n```text\n'
    # The table that ends the output, without what criterion says of each measurement.
    grep -vE '^(Benchmarking|Written to|tuning |Found| +[0-9]+ \([0-9.]+%\)|[a-z_]+/.* time:|.*(time|thrpt|change): +\[|[a-z_]+/[^ ]+$)' "$out/last" | tail -120
    printf '```\n\n'
  } >> "$out/sections.md"
}

has_torch() { python3 -c 'import torch' 2> /dev/null; }

# A copy kernel and the layer, of every tensor that is not too large.
ids='/(gpu|copy_kernel)$'
times=(--noplot --warm-up-time 0.1 --measurement-time 0.3 --sample-size 10)
budget=2
if [ -n "$quick" ]; then
  budget=0.1
  ids='evaluation/65536x8/(gpu|copy_kernel)$'
  section 'Adapter' bin/conformance data/nc_17x16.safetensors
else
  section 'Adapter, limits and conformance' bin/conformance data/*.safetensors
fi
section 'The device as plans see it, and plans of a tensor' bin/plans 32x64x56x56 --budget "$budget"
# On a software adapter all tensors would take minutes more.
few=()
if grep -q '^software adapter' "$out/last"; then
  few=(4096x256 32x256x14x14 32x256x14x14_last 4x100x7x7)
fi
section 'The layer beside copies' bin/throughput --bench "${times[@]}" "$ids"
section 'Preparing' bin/prepare --bench
if [ -n "$quick" ]; then
  section 'Default plans beside tuned ones' bin/throughput --bench --tuned 16x8x6x6 --budget "$budget"
else
  section 'Default plans beside tuned ones' bin/throughput --bench --tuned --budget 0.5
  section 'Storage types' bin/throughput --bench --storage "${few[@]}"
  section 'Fused epilogues' bin/throughput --bench --epilogues "${few[@]}"
  section 'Growth' bin/throughput --bench --growth
fi
if [ -x bin/peers ]; then
  section 'burn and candle' bin/peers "$ids"
fi
if has_torch; then
  section 'PyTorch' python3 scripts/torch_batchnorm.py ${quick:+--test}
fi

{
  printf '# wgpu-batchnorm %s on %s\n\n' "$(cat commit)" "$(uname -nm)"
  printf '%s, %s threads, %d s in all.\n\n' "$(date -u +%F)" "$(nproc)" $((SECONDS - start))
  [ -x bin/peers ] || printf 'SKIPPED burn and candle: bin/peers is not in the kit.\n\n'
  has_torch || printf 'SKIPPED PyTorch: python3 has no torch.\n\n'
  for part in "${failed[@]}"; do printf 'FAILED %s\n\n' "$part"; done
  cat "$out/sections.md"
} > report.md
{
  machine=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1)
  printf '{ "commit": "%s", "date": "%s", "machine": "%s", "seconds": %d, "failed": %d' \
    "$(cat commit)" "$(date -u +%F)" "${machine:-$(uname -m)}" $((SECONDS - start)) ${#failed[@]}
  for part in throughput regret peers torch; do
    [ ! -s "$out/$part.json" ] || { printf ',\n"%s": ' "$part"; cat "$out/$part.json"; }
  done
  printf ' }\n'
} > report.json
echo "report.md and report.json, after $((SECONDS - start)) s"
[ ${#failed[@]} = 0 ]
