#!/bin/sh
# The compiler of the workspace's own crates in `make mutants`: with what reads a mutant of a shader at run time.
exec "$@" --cfg mutants
