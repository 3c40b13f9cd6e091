#!/bin/sh
# Starts a test program for make test: without LLVM's passes, but for the experiments, which train networks.
[ "$CARGO_PKG_NAME" = batchnorm-experiments ] || export "$WITHOUT_PASSES"
exec "$@"
