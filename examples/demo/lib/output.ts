import { rmSync } from 'node:fs'
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname, extname } from 'node:path'
import { planesBytes, rgbaToPlanes } from './colour.ts'
import type { Film } from './picture.ts'
import { writePng } from './png.ts'
import { formatFrameHeader, formatHeader } from './y4m.ts'

export const outputKinds = ['.png', '.y4m']

/**
 * A picture or a film on its way into a file. It grows under another name (`part`) and gets its own only when
 * it is complete: whatever happens, the path holds the old file or the whole new one. Leaving without `keep`
 * leaves nothing behind.
 */
export class Output implements AsyncDisposable {
  /** A film is written frame by frame; a picture only once, at the end. */
  readonly everyFrame: boolean
  readonly #file: FileHandle
  readonly #part: string
  readonly #film: Film
  readonly #planes: Uint8Array
  readonly #discard = () => rmSync(this.#part, { force: true })

  private constructor(file: FileHandle, part: string, film: Film, everyFrame: boolean) {
    this.everyFrame = everyFrame
    this.#file = file
    this.#part = part
    this.#film = film
    this.#planes = new Uint8Array(everyFrame ? planesBytes(film, film.chroma) : 0)
    // Also when the process is told to exit in the middle of things.
    process.once('exit', this.#discard)
  }

  static async open(path: string, part: string, film: Film): Promise<Output> {
    await mkdir(dirname(path), { recursive: true })
    const everyFrame = extname(path).toLowerCase() === '.y4m'
    const output = new Output(await open(part, 'wx'), part, film, everyFrame)
    if (everyFrame) await output.#file.appendFile(formatHeader({ ...film, range: 'limited' }))
    return output
  }

  /** Adds a frame. The bytes must be private: they are read for as long as encoding takes. */
  async write(rgba: Uint8Array): Promise<void> {
    if (this.everyFrame) {
      rgbaToPlanes(rgba, this.#planes, this.#film, this.#film.chroma)
      await this.#file.appendFile(formatFrameHeader())
      await this.#file.appendFile(this.#planes)
    } else {
      await this.#file.appendFile(writePng({ ...this.#film, rgba }))
    }
  }

  /** The file is complete: it gets its name. */
  async keep(path: string): Promise<void> {
    await this.#file.close()
    await rename(this.#part, path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#discard)
    await this.#file.close()
    this.#discard()
  }
}
