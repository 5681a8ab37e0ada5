import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Compiled {
  /** The compiled form of a module below the project: `'test/children/puppet.ts'`. */
  url(path: string): URL
}

/**
 * The library and the children of the tests as JavaScript in a directory of its own, for those who start hundreds of
 * processes, or who run where TypeScript cannot be loaded (another user, few descriptors): a plain Node starts in a
 * quarter of the time. Made before the tests of a file, and removed after them.
 */
export function useCompiled(): Compiled {
  let directory: string | undefined
  beforeAll(() => {
    directory = compile()
  })
  afterAll(() => {
    if (directory !== undefined) rmSync(directory, { recursive: true })
  })
  return {
    url: (path) => {
      if (directory === undefined) throw new Error('compiled code is there in tests and their hooks only')
      return pathToFileURL(join(directory, path.replace(/\.ts$/, '.js')))
    },
  }
}

function compile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'dmabuf-compiled-'))
  writeFileSync(join(directory, 'package.json'), '{"name":"dmabuf","type":"module"}')
  // Copied and readable by everybody: a child may be another user, who cannot look into this project.
  cpSync(join(root, 'prebuilds'), join(directory, 'prebuilds'), { recursive: true })
  chmodSync(directory, 0o755)
  for (const folder of ['src', 'test/children']) {
    for (const path of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (!path.endsWith('.ts')) continue
      const target = join(directory, folder, path.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, transpile(readFileSync(join(root, folder, path), 'utf8')))
    }
  }
  return directory
}

function transpile(text: string): string {
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      rewriteRelativeImportExtensions: true,
      verbatimModuleSyntax: true,
    },
  })
  return outputText
}
