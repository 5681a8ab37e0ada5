import { copyFile, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Installed, manifestOf, packAndInstall } from './packed.ts'

let installed: Installed

beforeAll(async () => {
  installed = await packAndInstall()
}, 300_000)
afterAll(() => installed?.remove())

test('the package holds the library, its binaries, the sources of the addon and the docs', () => {
  expect(installed.files).toEqual(
    expect.arrayContaining([
      'dist/index.js',
      'dist/index.d.ts',
      'dist/dma.js',
      'dist/dma.d.ts',
      'dist/testing.js',
      'dist/testing.d.ts',
      'dist/drm.js',
      'dist/drm.d.ts',
      `prebuilds/linux-${process.arch}/dmabuf.glibc.node`,
      'native/binding.gyp',
      'LICENSE',
      'README.md',
    ]),
  )
  expect(installed.files.some((path) => path.startsWith('docs/'))).toBe(true)
})

test('the package holds no tests, no build output and no TypeScript sources', () => {
  const unwanted = /^(src|test|bench|examples|\.ci|native\/build[^/]*)\/|\.test\.|\.tgz$|(?<!\.d)\.ts$/
  expect(installed.files.filter((path) => unwanted.test(path))).toEqual([])
})

test('installing runs no script of ours', async () => {
  const { scripts = {} } = await manifestOf(installed.folder)
  for (const name of ['preinstall', 'install', 'postinstall']) expect(scripts).not.toHaveProperty(name)
  // npm makes an install script of its own where it sees this file.
  expect(installed.files).not.toContain('binding.gyp')
})

test('publint has nothing to say', async () => {
  const bytes = await readFile(installed.tarball)
  const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
  const { messages, pkg } = await publint({ pack: { tarball }, strict: true })
  expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([])
})

test('the package is not larger than it should be', async () => {
  expect((await stat(installed.tarball)).size).toBeLessThan(8 << 20)
})

test.each([
  ['ESM import', ['--input-type=module', '-e', "import { SystemHeap } from 'dmabuf'; new SystemHeap()"]],
  [
    'ESM import of its devices',
    ['--input-type=module', '-e', "import { Device } from 'dmabuf/dma'; new Device('camera')"],
  ],
  [
    'ESM import of its graphics device',
    ['--input-type=module', '-e', "import { DrmDevice } from 'dmabuf/drm'; new DrmDevice('card0').open()"],
  ],
  ['require() of its devices', ['-e', "const { Device } = require('dmabuf/dma'); new Device('camera')"]],
  [
    'require(), so no module awaits at its top',
    ['-e', "const { SystemHeap } = require('dmabuf'); new SystemHeap()"],
  ],
])('it loads by %s without a warning', async (_, args) => {
  expect(await installed.node(...args)).toEqual({ stdout: '', stderr: '' })
})

test('two processes share a buffer through the installed package', async () => {
  const smoke = fileURLToPath(new URL('./smoke.mjs', import.meta.url))
  const copy = join(installed.project, 'smoke.mjs')
  await copyFile(smoke, copy)
  expect((await installed.node(copy)).stdout).toMatch(/^ok: /m)
})

test('on another system the import succeeds and the first use says that Linux is needed', async () => {
  const pretend = "data:text/javascript,Object.defineProperty(process, 'platform', { value: 'darwin' })"
  const use = `import { SystemHeap } from 'dmabuf'
    try { await new SystemHeap().allocate(4096) } catch (error) { console.log(error.code, error.message) }`
  const { stdout } = await installed.node('--import', pretend, '--input-type=module', '-e', use)
  expect(stdout).toBe(`ENOSYS ENOSYS: dmabuf works on Linux only, and this is darwin ${process.arch}\n`)
})
