import { checked, systemError } from '../internal/errors.ts'
import type { Poll } from '../native/addon.ts'
import { READABLE } from '../native/addon.ts'
import { addon } from '../native/load.ts'

/**
 * Waits for many descriptors to hang up (leashes, pidfds) with one descriptor on the event loop: a nested epoll
 * set, one-shot. It does not keep the process alive, unless told so.
 */
export class HangupWatch {
  #epoll = -1
  #poll: Poll | undefined
  #nextToken = 1
  #held = false
  readonly #callbacks = new Map<number, () => void>()
  readonly #tokens = new Map<number, number>()

  /** Calls back once, when `fd` is ready for `events` or has hung up. `fd` is borrowed: {@link cancel} before close. */
  once(fd: number, events: number, callback: () => void): void {
    this.open()
    const known = this.#tokens.get(fd)
    const token = known ?? this.#nextToken++
    const result = addon().epollArm(this.#epoll, fd, token, events, known !== undefined)
    checked(result, 'epoll_ctl', 'watching a descriptor')
    this.#tokens.set(fd, token)
    this.#callbacks.set(token, callback)
  }

  /** Nobody is called back any more, but the descriptor is expected to be watched again. */
  disarm(fd: number): void {
    const token = this.#tokens.get(fd)
    if (token !== undefined) this.#callbacks.delete(token)
  }

  /** Idempotent; true when the descriptor was known. */
  cancel(fd: number): boolean {
    const token = this.#tokens.get(fd)
    if (token === undefined) return false
    this.#tokens.delete(fd)
    this.#callbacks.delete(token)
    addon().epollRemove(this.#epoll, fd)
    return true
  }

  /** Takes the descriptor that it needs, so that watching needs none when there is none left. */
  open(): void {
    if (this.#poll !== undefined) return
    const native = addon()
    this.#epoll = checked(native.epollCreate(), 'epoll_create1', 'watching descriptors')
    this.#poll = new native.Poll(this.#epoll, () => this.#take())
    this.#poll.start(READABLE)
    this.#hold()
  }

  /** Whether the process stays alive as long as something is watched here. */
  hold(held: boolean): void {
    if (this.#held === held) return
    this.#held = held
    this.#hold()
  }

  #hold(): void {
    if (this.#held) this.#poll?.ref()
    else this.#poll?.unref()
  }

  #take(): void {
    const native = addon()
    const count = native.epollTake(this.#epoll)
    if (count < 0) throw systemError(count, 'epoll_wait', 'watching descriptors')
    // Callbacks may watch again, which writes no tokens: the scratch stays as it is until the next take.
    for (let index = 0; index < count; index++) {
      const token = native.scratch.tokens[index] ?? 0
      const callback = this.#callbacks.get(token)
      this.#callbacks.delete(token)
      callback?.()
    }
  }
}

/** The one of this environment. */
export const hangups = new HangupWatch()
