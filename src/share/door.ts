import { chmodSync, mkdtempSync, rmdirSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checked, errno } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { type FileIdentity, inspectDoor } from '../memory/facts.ts'
import { type Poll, READABLE } from '../native/addon.ts'
import { addon } from '../native/load.ts'

const O_PATH = 0o10000000
/** Milliseconds until a door is opened again that was left shut for want of descriptors. */
const RETRY = 50

/**
 * An exporter's door: a listening socket whose file was unlinked at once, and the `O_PATH` descriptor of it that
 * holders get. Knocking is a connect through `/proc/self/fd`, so the exporter sees the knocker's own credentials,
 * and no holder can shut the door for another one.
 */
export class Door {
  /** Borrowed by every handle that is sent. */
  readonly fd: number
  readonly identity: FileIdentity
  readonly #listening: number
  readonly #poll: Poll

  private constructor(fd: number, identity: FileIdentity, listening: number, knocked: (fd: number) => void) {
    this.fd = fd
    this.identity = identity
    this.#listening = listening
    this.#poll = new (addon().Poll)(listening, () => this.#accept(knocked))
    this.#poll.start(READABLE)
    this.#poll.unref()
  }

  /** Opens a door; `undefined` where there is no directory to make it in (then each receiver gets a pair). */
  static open(knocked: (fd: number) => void): Door | undefined {
    const native = addon()
    let listening = -1
    let fd = -1
    for (const base of [process.env['XDG_RUNTIME_DIR'], tmpdir(), '/dev/shm']) {
      if (base === undefined) continue
      try {
        const directory = mkdtempSync(join(base, 'dmabuf-'))
        const path = join(directory, 'door')
        try {
          listening = checked(native.socket(), 'socket', 'making a door')
          checked(native.bind(listening, path, false), 'bind', 'making a door')
          try {
            // Who may knock is decided by who has the descriptor, so the file's mode must stop nobody.
            chmodSync(path, 0o666)
            checked(native.listen(listening, limits.defaultBacklog), 'listen', 'making a door')
            fd = checked(native.open(path, O_PATH, 0), 'open', 'making a door')
          } finally {
            unlinkSync(path)
          }
        } finally {
          rmdirSync(directory)
        }
        const identity = inspectDoor(fd)
        if (typeof identity !== 'number') return new Door(fd, identity, listening, knocked)
      } catch {
        // Not here: the next place, or none.
      }
      if (fd >= 0) native.close(fd)
      if (listening >= 0) native.close(listening)
      fd = listening = -1
    }
    return undefined
  }

  #accept(knocked: (fd: number) => void): void {
    for (let count = 0; count < limits.maxPacketsPerTurn; count++) {
      const fd = addon().accept(this.#listening)
      if (fd === -errno.EMFILE || fd === -errno.ENFILE) return this.#pause()
      if (fd < 0) return
      knocked(fd)
    }
  }

  /** A full descriptor table: whoever knocks waits until something is closed, of which no event tells. */
  #pause(): void {
    this.#poll.stop()
    setTimeout(() => this.#poll.start(READABLE), RETRY).unref()
  }

  close(): void {
    this.#poll.close()
    addon().close(this.#listening)
    addon().close(this.fd)
  }
}
