#!/usr/bin/env bash
# cross.sh ARCH TRIPLET: compiles the addon for another architecture with Debian's cross compiler into
# prebuilds/linux-ARCH/. In a copy, so that the build of this machine stays.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1 triplet=$2
copy=out/$arch
rm -rf "$copy"
mkdir -p "$copy" "prebuilds/linux-$arch"
cp -r native "$copy"
rm -rf "$copy/native/build"
CC=$triplet-gcc CXX=$triplet-g++ LINK=$triplet-g++ AR=$triplet-ar \
  npx node-gyp rebuild -C "$copy/native" --arch="$arch"
"$triplet-strip" --strip-unneeded -o "prebuilds/linux-$arch/dmabuf.glibc.node" "$copy/native/build/Release/dmabuf.node"
