#!/usr/bin/env bash
# cross.sh ARCH LIBC COMPILER...: compiles the addon for another machine into prebuilds/linux-ARCH/, in a copy, so
# that the build of this machine stays.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=$1 libc=$2
shift 2
copy=$PWD/out/$arch-$libc
rm -rf "$copy"
mkdir -p "$copy" "prebuilds/linux-$arch"
cp -r native "$copy"
rm -rf "$copy"/native/build*
# One word each for node-gyp's makefiles.
printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$copy/c++"
chmod +x "$copy/c++"
CC=$copy/c++ CXX=$copy/c++ LINK=$copy/c++ npx node-gyp rebuild -C "$copy/native" --arch="$arch"
mv "$copy/native/build/Release/dmabuf.node" "prebuilds/linux-$arch/dmabuf.$libc.node"
