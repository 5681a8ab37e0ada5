import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { candidates, explain } from '../../src/native/candidates.ts'
import { libcOf, type Platform } from '../../src/native/platform.ts'

const here: Platform = {
  platform: 'linux',
  arch: 'x64',
  libc: 'glibc',
  libcVersion: '2.31',
  runtime: 'node 20.19.0',
}

beforeEach(() => vi.stubEnv('DMABUF_ADDON', undefined))
afterEach(() => vi.unstubAllEnvs())

const names = (platform: Platform) => candidates(platform).map((path) => path.split('/').slice(-3).join('/'))

test('the prebuilt binary comes before one that was built here', () => {
  expect(names(here)).toEqual(['prebuilds/linux-x64/dmabuf.glibc.node', 'build/Release/dmabuf.node'])
})

test('an unknown C library has both binaries tried', () => {
  expect(names({ ...here, libc: undefined, arch: 'arm64' }).slice(0, 2)).toEqual([
    'prebuilds/linux-arm64/dmabuf.glibc.node',
    'prebuilds/linux-arm64/dmabuf.musl.node',
  ])
})

test('DMABUF_ADDON stands alone', () => {
  vi.stubEnv('DMABUF_ADDON', '/elsewhere/asan.node')
  expect(candidates(here)).toEqual(['/elsewhere/asan.node'])
})

test.each([
  [
    "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /p/dmabuf.glibc.node)",
    'it needs GLIBC_2.38, which this system (glibc 2.31) lacks',
  ],
  [
    'Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /p/dmabuf.node)',
    'it was built for the other C library',
  ],
  [
    'libc.musl-x86_64.so.1: cannot open shared object file: No such file',
    'it was built for the other C library',
  ],
  [
    'Error relocating /p/dmabuf.node: __fprintf_chk: symbol not found',
    'it was built for the other C library',
  ],
  ['/p/dmabuf.node: wrong ELF class: ELFCLASS32', 'it was not built for x64'],
  ['libfoo.so.1: cannot open shared object file: No such file or directory', 'a library it needs is missing'],
  [
    '/p/dmabuf.node: cannot open shared object file: No such file or directory',
    'it is for another machine, or its file cannot be read',
  ],
  ['/p/dmabuf.node: failed to map segment from shared object', 'it lies on a file system mounted noexec'],
  ['Cannot load native addon because loading addons is disabled.', 'this process may not load addons'],
])('%s is explained', (said, plain) => {
  const text = explain(new Error(said), here)
  expect(text).toContain(plain)
  expect(text).toContain(said)
})

test('what nobody foresaw is passed on as the system said it', () => {
  expect(explain(new Error('the moon is wrong\nstack'), here)).toBe('the moon is wrong')
})

test.each([
  ['7f-7f r-xp 0 08:01 1 /lib/x86_64-linux-gnu/libc.so.6\n', 'glibc'],
  ['7f-7f r-xp 0 08:01 1 /lib64/libc-2.28.so\n', 'glibc'],
  ['7f-7f r-xp 0 08:01 1 /lib/ld-musl-aarch64.so.1\n7f-7f r-xp 0 08:01 1 /usr/lib/libstdc++.so.6\n', 'musl'],
  ['7f-7f r-xp 0 08:01 1 /home/libc.so.6.txt\n', undefined],
  ['', undefined],
])('the mapped files %j belong to %s', (maps, libc) => {
  expect(libcOf(maps)).toBe(libc)
})
