#!/usr/bin/env bash
# What an exchange over MPI costs, and what a step of a network does, at 1, 2 and 4 ranks on this machine.
#
#     scripts/mpi_cost.sh FOLDER    where the examples of mpi/ are built
set -euo pipefail

folder=$(realpath "${1:?usage: scripts/mpi_cost.sh FOLDER}")
run() { # RANKS PROGRAM ARGUMENTS...
  mpirun --allow-run-as-root --oversubscribe -n "$1" "$folder/$2" "${@:3}" 2> >(grep -v XDG_RUNTIME_DIR >&2)
}

"$folder/digits" --whole 2> /dev/null
for ranks in 1 2 4; do
  echo
  run "$ranks" digits
  run "$ranks" cost
done
