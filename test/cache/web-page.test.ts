import { readFileSync } from 'node:fs'
import { createContext, Script } from 'node:vm'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { sources } from '../support/sources.ts'
import { lab } from './page-lab.ts'

const root = new URL('../../', import.meta.url)
const labPath = 'test/cache/page-lab.ts'
const model = sources()
  .map(({ path }) => `src/${path}`)
  .filter((path) => path.startsWith('src/memory/cache/') || path === 'src/testing/seed-search.ts')

/** What a file names in imports, types included, and in exports from elsewhere. */
function named(path: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(new URL(path, root), 'utf8'), true, true)
  return importedFiles.map(({ fileName }) => fileName)
}

const resolved = (from: string, name: string) =>
  new URL(name, new URL(from, root)).pathname.slice(root.pathname.length)

/** Everything that these files reach, each with the names that are no files. */
function reached(from: readonly string[]): { readonly files: Set<string>; readonly packages: string[] } {
  const files = new Set(from)
  const packages: string[] = []
  for (const path of files) {
    for (const name of named(path)) {
      if (name.startsWith('.')) files.add(resolved(path, name))
      else packages.push(`${path} imports ${name}`)
    }
  }
  return { files, packages }
}

test('the model of the caches reaches neither Node nor the addon, however far its imports are followed', () => {
  const { files, packages } = reached([...model, labPath])
  expect(model.length).toBeGreaterThan(5)
  expect(packages).toEqual([])
  expect([...files].filter((path) => path.startsWith('src/native/'))).toEqual([])
})

test('the model is made of what the language has, without anything of Node or of a browser', () => {
  const program = ts.createProgram(
    model.map((path) => new URL(path, root).pathname),
    {
      ...{ target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, strict: true, noEmit: true },
      ...{ moduleResolution: ts.ModuleResolutionKind.Bundler, allowImportingTsExtensions: true },
      ...{ lib: ['lib.es2023.d.ts'], types: [] },
    },
  )
  const problems = ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
  expect(problems).toEqual([])
})

/** Loads a module and what it imports into a world in which there is nothing but the language. */
function loadBare(path: string): { readonly lab: typeof lab } {
  const context = createContext(Object.create(null))
  const loaded = new Map<string, object>()
  const load = (file: string): object => {
    const known = loaded.get(file)
    if (known !== undefined) return known
    const exports = {}
    loaded.set(file, exports)
    const { outputText } = ts.transpileModule(readFileSync(new URL(file, root), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 },
    })
    const script = new Script(`(function (exports, require) {${outputText}\n})`, { filename: file })
    script.runInContext(context)(exports, (name: string) => load(resolved(file, name)))
    return exports
  }
  return load(path) as { lab: typeof lab }
}

test('its labs run where there is nothing but the language, and see what they see here', async () => {
  const bare = loadBare(labPath).lab
  expect(bare).not.toBe(lab)
  expect([bare.staleRead(false), bare.staleRead(true)]).toEqual([0, 7])
  expect([bare.lostWrite(false), bare.lostWrite(true)]).toEqual([0, 5])
  expect(await bare.prefetched(true)).toBe('passes')
  const report = await bare.prefetched(false)
  expect(report).toMatch(/fails under seed \d+, by 1 act of the caches \(\*\): stale\n/)
  expect(await lab.prefetched(false)).toBe(report)
})
