#!/usr/bin/env bash
# Compilers, clang-format, what runs arm64 programs, and musl. Asks the network only when something is missing.
set -euo pipefail

packages=(g++ make python3 git binutils clang-format qemu-user g++-aarch64-linux-gnu musl)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ "${#missing[@]}" = 0 ] && exit
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends "${missing[@]}"
