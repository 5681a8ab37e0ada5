import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ABI } from '../../src/native/addon.ts'

let folder: string
const platform = Object.getOwnPropertyDescriptor(process, 'platform')!

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dmabuf-load-'))
  vi.resetModules()
})

afterEach(() => {
  vi.unstubAllEnvs()
  Object.defineProperty(process, 'platform', platform)
  rmSync(folder, { recursive: true })
})

/** A loader that has loaded nothing yet; `DMABUF_ADDON` names a file with this content. */
async function loaderFor(name: string, content?: string) {
  const path = join(folder, name)
  if (content !== undefined) writeFileSync(path, content)
  vi.stubEnv('DMABUF_ADDON', path)
  return { path, ...(await import('../../src/native/load.ts')) }
}

test('the addon of the package loads, once', async () => {
  vi.stubEnv('DMABUF_ADDON', undefined)
  const { addon } = await import('../../src/native/load.ts')
  expect(addon().abi).toBe(ABI)
  expect(addon()).toBe(addon())
})

test('the description names the file that was loaded', async () => {
  vi.stubEnv('DMABUF_ADDON', undefined)
  const { describeAddon } = await import('../../src/native/load.ts')
  expect(describeAddon()).toMatchObject({
    path: expect.stringMatching(/\/dmabuf\.(glibc|musl)\.node$/),
    abi: ABI,
    platform: 'linux',
    arch: process.arch,
    runtime: `node ${process.versions.node}`,
    error: undefined,
  })
})

test('a named file that is missing is an error, and no other file is loaded instead', async () => {
  const { addon, path } = await loaderFor('missing.node')
  expect(addon).toThrow(`${path}: there is no such file`)
})

test('the error says what this machine is and how to build the addon on it', async () => {
  const { addon } = await loaderFor('missing.node')
  expect(addon).toThrow(
    expect.objectContaining({
      code: 'ERR_DMABUF_NO_ADDON',
      message: expect.stringMatching(
        new RegExp(`linux ${process.arch}, (glibc \\d|musl).*, node ${process.versions.node}`),
      ),
      hint: expect.stringContaining('npm run build:native'),
    }),
  )
})

test('an addon with another interface number is refused', async () => {
  const { addon } = await loaderFor('other.json', '{ "abi": 12345 }')
  expect(addon).toThrow(`it has interface 12345, and this release of dmabuf needs interface ${ABI}`)
})

test('a file that is no addon at all is refused', async () => {
  const { addon } = await loaderFor(
    'text.node',
    'Not a shared library, but long enough to have had a header.',
  )
  expect(addon).toThrow('it is no shared library, or was cut short')
})

test('after a failure the next call tries again', async () => {
  const { addon, describeAddon } = await loaderFor('late.json')
  expect(describeAddon().error?.code).toBe('ERR_DMABUF_NO_ADDON')
  await loaderFor('late.json', `{ "abi": ${ABI} }`)
  expect(addon().abi).toBe(ABI)
})

test('on another system the import succeeds and the first use says that Linux is needed', async () => {
  Object.defineProperty(process, 'platform', { value: 'darwin' })
  const { addon, describeAddon } = await import('../../src/native/load.ts')
  expect(addon).toThrow(`dmabuf works on Linux only, and this is darwin ${process.arch}`)
  expect(describeAddon()).toMatchObject({ platform: 'darwin', libc: undefined, path: undefined })
})
