import { errno, systemError } from '../internal/errors.ts'
import { addon } from '../native/load.ts'
import { hangups } from '../sync/hangup-watch.ts'

const O_WRONLY = 1
const O_NONBLOCK = 0o4000
const POLLHUP = 16

/**
 * The exporter's end of a buffer's leash: a pipe of which only the exporter has the reading end. Whoever has the
 * buffer, a message under way included, has a writing end; when the last one is gone the reading end hangs up.
 */
export class Leash {
  /** One reading end; more only where /proc is missing and each send needs a pipe of its own. */
  #reads: number[] = []
  #watched = -1

  /** A writing end to send along; the caller closes its copy once it is sent. */
  openWriteEnd(): number {
    const native = addon()
    const first = this.#reads[0]
    if (first !== undefined) {
      const fd = native.reopen(first, O_WRONLY | O_NONBLOCK)
      if (fd >= 0) return fd
      if (fd !== -errno.ENOENT) throw systemError(fd, 'open', 'opening the leash of a buffer')
    }
    // Closing a buffer watches its leash, and must not fail.
    hangups.open()
    const result = native.pipe()
    if (result < 0) throw systemError(result, 'pipe2', 'making the leash of a buffer')
    const [read = -1, write = -1] = native.scratch.descriptors
    this.#reads.push(read)
    return write
  }

  /** Whether nobody has the buffer: no process, no message. */
  get hungUp(): boolean {
    return this.#reads.every((fd) => (addon().pollNow(fd, 0) & POLLHUP) !== 0)
  }

  /** Whether a writing end that somebody shows is one of this leash: the proof that they hold this buffer. */
  owns(writeEnd: number): boolean {
    return this.#reads.some((fd) => addon().sameFile(fd, writeEnd) === 1)
  }

  /** Calls back when nobody has the buffer any more. A later send may come before: ask {@link hungUp} again. */
  whenHungUp(callback: () => void): void {
    const waiting = this.#reads.find((fd) => (addon().pollNow(fd, 0) & POLLHUP) === 0)
    // Only the last to ask hears of it: the buffer may have come back and gone again since the leash was watched.
    hangups.disarm(this.#watched)
    this.#watched = waiting ?? -1
    if (waiting === undefined) callback()
    else hangups.once(waiting, 0, () => this.whenHungUp(callback))
  }

  close(): void {
    for (const fd of this.#reads) {
      hangups.cancel(fd)
      addon().close(fd)
    }
    this.#reads = []
  }
}
