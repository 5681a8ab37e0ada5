import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface SourceFile {
  /** Below src/, with slashes: `memory/seals.ts`. */
  readonly path: string
  readonly text: string
}

const root = fileURLToPath(new URL('../../src/', import.meta.url))

/** Every TypeScript file of src/. */
export function sources(): SourceFile[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path, text: readFileSync(root + path, 'utf8') }))
}
