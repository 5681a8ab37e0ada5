import { posix } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { type SourceFile, sources } from '../support/sources.ts'

/** From the bottom up: a file imports from its own folder or from folders before it. Then come the entries. */
const layers = [
  ...['internal', 'native', 'memory', 'sync', 'dma', 'dmabuf', 'transport', 'share', 'exporters'],
  ...['v4l2', 'drm', 'stream', 'uapi', 'kernel', 'run', 'trace', 'inspect', 'testing', 'cli'],
]

const MOST_LINES = 400

function layerOf(path: string): number {
  const folder = path.includes('/') ? path.slice(0, path.indexOf('/')) : undefined
  return folder === undefined ? layers.length : layers.indexOf(folder)
}

function parse({ path, text }: SourceFile): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
}

/** Imports, exports from, import types and dynamic imports of files of ours, as paths below src/. */
function imported(source: SourceFile): string[] {
  const found: string[] = []
  const add = (node: ts.Node | undefined) => {
    if (node !== undefined && ts.isStringLiteralLike(node) && node.text.startsWith('.')) {
      found.push(posix.join(posix.dirname(source.path), node.text))
    }
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier)
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0])
    ts.forEachChild(node, visit)
  }
  visit(parse(source))
  return found
}

test('every folder of src is a layer', () => {
  const strangers = sources().filter(({ path }) => layerOf(path) < 0)
  expect(strangers.map(({ path }) => path)).toEqual([])
})

test('a file imports from its own layer or from those below, types included', () => {
  const upwards = sources().flatMap((source) =>
    imported(source)
      .filter((target) => layerOf(target) > layerOf(source.path))
      .map((target) => `${source.path} imports ${target}`),
  )
  expect(upwards).toEqual([])
})

test('every import names a file that is there', () => {
  const files = new Set(sources().map(({ path }) => path))
  const missing = sources().flatMap((source) => imported(source).filter((target) => !files.has(target)))
  expect(missing).toEqual([])
})

test(`no file of src has more than ${MOST_LINES} lines`, () => {
  const long = sources().filter(({ text }) => text.trimEnd().split('\n').length > MOST_LINES)
  expect(long.map(({ path }) => path)).toEqual([])
})

test('nothing in src awaits at the top level, so that require() works', () => {
  const awaits = (node: ts.Node): boolean => {
    if (ts.isFunctionLike(node)) return false
    if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier !== undefined))
      return true
    return ts.forEachChild(node, (child) => awaits(child) || undefined) ?? false
  }
  expect(
    sources()
      .filter((source) => awaits(parse(source)))
      .map(({ path }) => path),
  ).toEqual([])
})
