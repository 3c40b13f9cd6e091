#!/usr/bin/env bash
# Makes sure that this machine has a Vulkan driver. Does nothing where one is there, and outside Linux (Metal and
# Direct3D 12 come with the system). On a Debian, Ubuntu or Fedora machine without one it installs Mesa's
# software driver; elsewhere it says what to install and fails.
set -euo pipefail

[ "$(uname -s)" = Linux ] || exit 0

# The folders a library can be loaded from, beside the loader's own cache.
library_folders="${LD_LIBRARY_PATH:-}:/lib64:/usr/lib64:/lib:/usr/lib:/usr/local/lib:/run/opengl-driver/lib"
library_folders+=":/usr/lib/$(uname -m)-linux-gnu"

has_library() { # NAME or PATH
  case $1 in
    /*) [ -e "$1" ] && return ;;
    *)
      grep -qF "$1 (" <<< "$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null)" && return
      local folder
      while read -rd : folder; do
        [ -n "$folder" ] && [ -e "$folder/$1" ] && return
      done <<< "$library_folders:"
      ;;
  esac
  return 1
}

# Driver manifests, found where the Vulkan loader looks for them.
manifests() {
  local chosen="${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}"
  if [ -n "$chosen" ]; then
    tr : '\n' <<< "$chosen"
    return
  fi
  local folders="${XDG_CONFIG_HOME:-${HOME:-}/.config}:${XDG_CONFIG_DIRS:-/etc/xdg}:/etc"
  folders+=":${XDG_DATA_HOME:-${HOME:-}/.local/share}:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}:/run/opengl-driver/share"
  local folder
  while read -rd : folder; do
    ls -d "$folder"/vulkan/icd.d/*.json 2>/dev/null || true
  done <<< "$folders:"
}

# A driver for hardware is installed on machines without that hardware too: it counts where a GPU's device file is.
has_gpu() { compgen -G '/dev/dri/renderD*' > /dev/null || [ -e /dev/nvidiactl ] || [ -e /dev/dxg ]; }

usable_driver() { # prints the first usable driver's manifest
  has_library libvulkan.so.1 || return 1
  local manifest library
  while read -r manifest; do
    [ -r "$manifest" ] || continue
    library=$(sed -n 's/.*"library_path" *: *"\([^"]*\)".*/\1/p' "$manifest" | head -n 1)
    case $library in
      /*) ;;
      */*) library="$(dirname "$(realpath "$manifest")")/$library" ;;
    esac
    has_library "$library" || continue
    case $library in
      *lvp* | *lavapipe* | *swiftshader*) ;;
      *) has_gpu || continue ;;
    esac
    echo "$manifest"
    return
  done <<< "$(manifests)"
  return 1
}

fail() {
  echo "No usable Vulkan driver: $1" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    fail "run this as root, or install it yourself: $*"
  fi
}

if driver=$(usable_driver); then
  echo "Vulkan driver: $driver"
  exit 0
fi
if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
  has_library libvulkan.so.1 &&
    fail "VK_DRIVER_FILES or VK_ICD_FILENAMES names no driver that can be loaded; correct it, or unset it."
fi

if command -v apt-get > /dev/null; then
  echo "No Vulkan driver on this machine: installing Mesa's software driver (mesa-vulkan-drivers, libvulkan1)."
  # A source that cannot be reached need not be the one that has Mesa: let the install decide.
  as_root apt-get -q update || echo "apt-get update failed; trying with the lists that are there." >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends mesa-vulkan-drivers libvulkan1
elif command -v dnf > /dev/null; then
  echo "No Vulkan driver on this machine: installing Mesa's software driver (mesa-vulkan-drivers, vulkan-loader)."
  as_root dnf -qy install mesa-vulkan-drivers vulkan-loader
else
  fail "install the Vulkan loader and your GPU's driver, or Mesa's software driver (lavapipe): on Arch Linux
  pacman -S vulkan-icd-loader vulkan-swrast, on Alpine apk add vulkan-loader mesa-vulkan-swrast,
  on openSUSE zypper install libvulkan1 libvulkan_lvp."
fi

driver=$(usable_driver) || fail "Mesa's driver was installed, but no driver that can be loaded was found after it."
echo "Vulkan driver: $driver"
