#!/bin/sh
# Starts a program of tests for make test, by which all but the experiments' get the settings in QUICK_TO_COMPILE.
[ "$CARGO_PKG_NAME" = batchnorm-experiments ] || export $QUICK_TO_COMPILE
exec "$@"
