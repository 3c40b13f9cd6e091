#!/bin/sh
# Starts a test program for make test. All but the experiments, which train networks, do without LLVM's passes.
[ "$CARGO_PKG_NAME" = batchnorm-experiments ] || export "$WITHOUT_PASSES"
exec "$@"
