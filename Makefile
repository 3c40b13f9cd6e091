# Programs are built by one command over the whole workspace and then started, where cargo run would compile wgpu anew
# for the features of each; an example among them, since Cargo leaves out the features of tests where there is none.
TARGET := $(or $(CARGO_TARGET_DIR),target)

SWIFTSHADER ?= /usr/lib/chromium/vk_swiftshader_icd.json

.PHONY: help vulkan test exhaustive fuzz fuzz-readers soak snippet demo bench tune growth compare check format lint doc tint dawn swiftshader swiftshader-gpu msrv wasm
.PHONY: isa kit performance mutants mutants-driver
.PHONY: web web-tools web-lock serve web-test web-lint
.PHONY: mpi-lock mpi-test mpi-lint mpi-cost burn-test burn-bench release-check licences

help:
	@echo "make test         run all tests; installs a software Vulkan driver where there is none"
	@echo "make exhaustive   run the tests of all combinations, which make test leaves out"
	@echo "make fuzz         plan and run random cases (ARGS=\"--seed N --seconds S\"; docs/testing.md)"
	@echo "make fuzz-readers fuzz all that reads files and text, a minute each (ARGS=-max_total_time=3600; needs cargo-fuzz"
	@echo "                  and a nightly compiler)"
	@echo "make soak         train a ResNet's batch norms for long (ARGS=\"--seconds S\"), and watch bits, memory and time"
	@echo "make mutants      mutate the shaders and run the tests on each mutant (ARGS=\"--seed N --count K\"; docs/testing.md)"
	@echo "make mutants-driver  the same for the driver, by cargo-mutants (ARGS=\"--shard 0/9 --sharding round-robin\")"
	@echo "make snippet      build and run the program of README.md in a new crate"
	@echo "make demo         handwritten digits through the layer, then the experiments (ARGS=... goes to these)"
	@echo "make bench        measure throughput against copying the tensor and against the CPU; ARGS=--tuned measures what"
	@echo "                  the plans that are chosen by default cost, beside tuned ones"
	@echo "make tune ARGS=SHAPE  measure the plans of a shape, such as 32x64x56x56 (ARGS=--help lists options)"
	@echo "make growth       measure how cost grows from 4 KiB to 1 GiB"
	@echo "make compare      measure beside burn, candle and PyTorch, where they are (ARGS=REGEX of ids);"
	@echo "                  builds burn, in 20 minutes"
	@echo "make burn-test    test the module for burn (burn/), without fusion and with; builds burn twice, in 30 minutes"
	@echo "make burn-bench   measure it beside burn's own layer (ARGS=part of a tensor's name)"
	@echo "make check        formatting, lints, documentation and the package"
	@echo "make isa          show what Mesa's compiler for AMD's GPUs makes of every shader, and hold it to rules;"
	@echo "                  needs no GPU (ISA_GPUS, RADEON: which GPUs, the driver's file; ARGS=REGEX of shaders)"
	@echo "make kit          pack an archive that measures on a machine without Rust: scripts/kit"
	@echo "make performance  write the tables of docs/performance.md from the kit's reports in docs/reports"
	@echo "make tint         compile every shader with Tint, the browsers' WGSL compiler (needs Node.js)"
	@echo "make dawn         run every kernel, and random steps, in Dawn, the WebGPU of Chromium (needs Node.js, chromium)"
	@echo "make swiftshader  run the GPU tests on Chromium's software driver (needs chromium, vulkan-tools;"
	@echo "                  ARGS=--include-ignored for those of make exhaustive, too)"
	@echo "make msrv         compile the library by the compiler of its rust-version, with the newest dependencies"
	@echo "                  and with the oldest (needs Node.js; rustup, for that compiler; ARGS=--short: with the oldest only)"
	@echo "make wasm         check the library for wasm32-unknown-unknown"
	@echo "make web          build the page on which networks train in a browser tab, into target/web (needs Node.js and a"
	@echo "                  compiler for wasm32-unknown-unknown)"
	@echo "make serve        serve it on 127.0.0.1 (PORT=...)"
	@echo "make web-test     test it in headless Chromium (needs chromium)"
	@echo "make mpi-test     test mpi/: training on shards under mpirun (needs Open MPI and libclang)"
	@echo "make mpi-cost     measure what an exchange over MPI costs at 1, 2 and 4 ranks"
	@echo "make licences     list the licences of all that the library links with (needs Node.js)"
	@echo "make release-check  what must hold before a release: see docs/release.md"

vulkan:
	@scripts/vulkan.sh

# On Mesa's software drivers most of the tests' time goes into compiling kernels. Four lanes take Mesa 25 half as long as
# eight, and wgpu is faster without debug information for the driver. Both Mesas are faster without LLVM's passes, too,
# except where networks are trained. What one of these two targets has compiled is in Mesa's cache for the other. All other targets
# run what users run.
QUICK_TO_COMPILE := LP_NATIVE_VECTOR_WIDTH=128 WGPU_DEBUG=0
WITHOUT_PASSES := GALLIVM_PERF=nopt

test: vulkan
	$(QUICK_TO_COMPILE) WITHOUT_PASSES=$(WITHOUT_PASSES) \
	  cargo test --workspace --config 'target."cfg(unix)".runner="scripts/run_test.sh"'

# The tests of all combinations, which make test names and leaves out.
exhaustive: vulkan
	$(QUICK_TO_COMPILE) $(WITHOUT_PASSES) cargo test --workspace --test gpu -- --ignored

# Each case is known by the seed and its number: --from resumes a run, and --from N --cases 1 repeats a case.
fuzz: vulkan
	cargo build --workspace --example fuzz
	$(TARGET)/debug/examples/fuzz --report $(TARGET)/fuzz.json $(ARGS)

fuzz-readers:
	scripts/fuzz_readers.sh $(ARGS)

soak: vulkan
	cargo build --release --workspace --example soak
	$(TARGET)/release/examples/soak $(ARGS)

# Reports that ./measure.sh of the kit wrote, as report.md and report.json, belong into docs/reports under the driver's name.
performance:
	node scripts/performance.mjs

# Hours for a hundred mutants: a run that was ended goes on where it stopped.
mutants: vulkan
	scripts/mutants/shaders.sh $(ARGS)

mutants-driver: vulkan
	scripts/mutants/driver.sh $(ARGS)

snippet: vulkan
	scripts/snippet.sh

demo: vulkan
	cargo build --release --workspace --example digits --bin batchnorm-experiments
	$(TARGET)/release/examples/digits
	$(TARGET)/release/batchnorm-experiments $(ARGS)

bench: vulkan
	cargo bench$(if $(ARGS), --bench throughput -- $(ARGS))

# Built as the others are, so that wgpu is compiled once.
tune: vulkan
	cargo build --release --workspace --example plans
	$(TARGET)/release/examples/plans $(ARGS)

growth: vulkan
	cargo bench --bench throughput -- --growth

compare: vulkan
	scripts/compare.sh '$(ARGS)'

check: format lint doc
	scripts/package.sh --allow-dirty

format:
	cargo fmt --all --check
	cargo fmt --manifest-path peers/Cargo.toml --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fmt --manifest-path mpi/Cargo.toml --check
	cargo fmt --manifest-path burn/Cargo.toml --check
	cargo fmt --manifest-path web/Cargo.toml --check

lint:
	cargo clippy --workspace --all-targets --all-features -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

kit:
	scripts/kit/make.sh

# Mesa 22.3 knows these. RADV aborts at a name that it does not know.
ISA_GPUS ?= vega10 navi21 gfx1100
RADEON ?= /usr/share/vulkan/icd.d/radeon_icd.x86_64.json

isa: vulkan
	cargo build --workspace --bin batchnorm-isa --example shaders
	for gpu in $(ISA_GPUS); do \
	  RADV_FORCE_FAMILY=$$gpu VK_ICD_FILENAMES=$(RADEON) VK_DRIVER_FILES=$(RADEON) \
	    $(TARGET)/debug/batchnorm-isa --quiet --out $(TARGET)/isa/$$gpu $(ARGS) || exit 1; \
	done

tint:
	rm -rf $(TARGET)/shaders
	cargo build --workspace --example shaders --example mlp_shaders
	$(TARGET)/debug/examples/shaders $(TARGET)/shaders
	$(TARGET)/debug/examples/mlp_shaders $(TARGET)/shaders
	npm ci --prefix scripts/dawn
	node scripts/dawn/check.mjs $(TARGET)/shaders/*.wgsl

dawn: vulkan
	rm -rf $(TARGET)/dawn
	cargo build --workspace --example dawn --example fuzz
	$(TARGET)/debug/examples/dawn $(TARGET)/dawn
	npm ci --prefix scripts/dawn
	node scripts/dawn/loop_variables.mjs
	node scripts/dawn/run.mjs $(TARGET)/dawn
	$(TARGET)/debug/examples/fuzz --dawn --seed 2 --cases 200

swiftshader: swiftshader-gpu
	VK_ICD_FILENAMES=$(SWIFTSHADER) cargo test --workspace --test faults

swiftshader-gpu:
	VK_ICD_FILENAMES=$(SWIFTSHADER) vulkaninfo --summary | grep SwiftShader
	VK_ICD_FILENAMES=$(SWIFTSHADER) cargo test --workspace --test gpu$(if $(ARGS), -- $(ARGS))

# Lints name what an older compiler lacks, and stand in for it where rustup does not have it: clippy knows since when each
# item of the standard library is stable (lint), and rustfmt refuses let chains (Rust 1.88) in any edition before 2024.
msrv: lint
	node scripts/msrv.mjs
	rustfmt --edition 2021 --emit stdout src/lib.rs > /dev/null
	scripts/msrv.sh $(ARGS)

# In the profile of the page, with which it shares the macros.
wasm:
	cargo check -p wgpu-batchnorm --lib --target wasm32-unknown-unknown --release --config profile.release.lto=true \
	  --features safetensors,serde

web-tools:
	npm ci --prefix web

# A tool for this machine: not by the compiler that RUSTC names. It runs for a second, so that compiling it is what counts.
BINDGEN := --manifest-path web/Cargo.toml --target-dir $(TARGET) --package bindgen \
  --config profile.dev.opt-level=0 --config profile.dev.debug=0

web: web-tools web-lock
	env -u RUSTC cargo build $(BINDGEN)
	node web/build.mjs $(TARGET)

serve:
	node web/serve.mjs $(TARGET)/web $(PORT)

# Chromium compiles shaders on one core: two browsers at a time. WITHOUT=... leaves a file of tests out.
web-test: web-tools
	WEB_OUT=$(abspath $(TARGET)/web) node --test --test-concurrency=2 \
	  $(filter-out %/$(WITHOUT).test.mjs,$(wildcard web/test/*.test.mjs))

# As programs of this machine: the linter needs the standard library of its own compiler. bindgen is linted as it is built
# for the page, so that what it stands on is not compiled twice.
web-lint: web-lock
	cargo clippy --manifest-path web/Cargo.toml --target-dir $(TARGET) --workspace --exclude bindgen \
	  --features alike -- -D warnings
	RUSTC_WORKSPACE_WRAPPER=clippy-driver cargo rustc $(BINDGEN) -- -D warnings

# The versions that the crate's own tests have run with, where there are any.
mpi-lock web-lock: %-lock:
	[ ! -e Cargo.lock ] || cp Cargo.lock $*/

mpi-test: vulkan mpi-lock
	cargo test --manifest-path mpi/Cargo.toml --target-dir $(TARGET) -- --test-threads 1

mpi-lint: mpi-lock
	cargo clippy --manifest-path mpi/Cargo.toml --target-dir $(TARGET) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --manifest-path mpi/Cargo.toml --target-dir $(TARGET) --no-deps --lib --examples

mpi-cost: vulkan mpi-lock
	cargo build --release --manifest-path mpi/Cargo.toml --target-dir $(TARGET) --examples
	scripts/mpi_cost.sh $(TARGET)/release/examples

licences:
	node scripts/licences.mjs
	node scripts/licences.mjs headless,safetensors,serde

release-check:
	scripts/release.sh

# What burn has by default is fusion and autotune. Doing without both is another build of it.
BURN_DEFAULTS := --features fusion,autotune

burn-test: vulkan
	cargo test --manifest-path burn/Cargo.toml
	cargo test --manifest-path burn/Cargo.toml $(BURN_DEFAULTS)

# In the profile of the tests, so that burn is built once.
burn-bench: vulkan
	cargo bench --profile dev --manifest-path burn/Cargo.toml $(BURN_DEFAULTS) --bench beside_burn -- $(ARGS)
