import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { manifestOf, root } from './packed.ts'

const folder = join(root, 'prebuilds')
const binaries = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.node'),
)
const floor = (await manifestOf(root)).dmabuf?.glibcFloor ?? 'none'

/** A line of `objdump -T`: flags, section, size, then `GLIBC_2.34` (in brackets for what the file wants) and name. */
const dynamicSymbols = (path: string) =>
  execFileSync('objdump', ['-T', join(folder, path)], { encoding: 'utf8' }).split('\n')

const neededLibraries = (path: string) =>
  execFileSync('objdump', ['-p', join(folder, path)], { encoding: 'utf8' }).match(/(?<=NEEDED\s+)\S+/g) ?? []

function newerThanFloor(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [floorMajor = 0, floorMinor = 0] = floor.split('.').map(Number)
  return major > floorMajor || (major === floorMajor && minor > floorMinor)
}

test('there is a binary for this machine', () => {
  expect(binaries.some((path) => path.startsWith(`linux-${process.arch}/`))).toBe(true)
})

test.each(binaries.filter((path) => path.endsWith('.glibc.node')))(
  '%s needs no newer glibc than package.json says',
  (path) => {
    const tooNew = dynamicSymbols(path).filter((line) =>
      newerThanFloor(/GLIBC_(2[\d.]+)/.exec(line)?.[1] ?? '0'),
    )
    expect(tooNew).toEqual([])
  },
)

test.each(binaries)('%s brings its own C++ library', (path) => {
  expect(dynamicSymbols(path).filter((line) => /GLIBCXX|CXXABI/.test(line))).toEqual([])
  expect(neededLibraries(path).filter((name) => /stdc\+\+|libc\+\+/.test(name))).toEqual([])
})

test.each(binaries)('%s shows nothing but the entry of a Node-API addon', (path) => {
  const shown = dynamicSymbols(path).filter((line) => / g .* (?!\*UND\*)\.\w+/.test(line))
  expect(shown.map((line) => line.split(/\s+/).at(-1)).sort()).toEqual([
    'napi_register_module_v1',
    'node_api_module_get_api_version_v1',
  ])
})

test('the README names the glibc that is needed', () => {
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`glibc ${floor}`)
})
