#!/bin/sh
# Starts a test program for make test. All but those of the experiments get the settings in QUICK_TO_COMPILE.
[ "$CARGO_PKG_NAME" = batchnorm-experiments ] || export $QUICK_TO_COMPILE
exec "$@"
