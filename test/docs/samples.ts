import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = new URL('../../', import.meta.url).pathname

/** A program in a document, and what the document says that it prints. */
export interface Sample {
  /** `'docs/devices.md line 12'` */
  readonly where: string
  readonly language: 'ts' | 'js'
  readonly code: string
  readonly prints: string
  /** What it says on stderr with the guard on; undefined: the document does not tell. */
  readonly guarded: string | undefined
}

/**
 * The blocks of a document in TypeScript and JavaScript. Each is a program of its own. A block of `text` right behind it is
 * what it prints; without one it prints nothing. A block of `console` in the same section is what the guard says of it.
 */
export function samplesOf(document: string): Sample[] {
  const text = readFileSync(join(root, document), 'utf8')
  const blocks = text.matchAll(/^```(ts|js)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/gms)
  return Array.from(blocks, ({ index, 0: block, 1: language, 2: code = '', 3: prints = '' }) => {
    const line = text.slice(0, index).split('\n').length
    const [section = ''] = text.slice(index + block.length).split(/^(?:##|```ts|```js)/m, 1)
    const guarded = section.match(/^```console\n(.*?)^```\n/ms)?.[1]
    return { where: `${document} line ${line}`, language: language as 'ts' | 'js', code, prints, guarded }
  })
}
