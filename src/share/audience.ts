import type { MoveAudience } from '../dmabuf/move-audience.ts'
import type { Storage } from '../dmabuf/storage.ts'
import { StateRecord } from '../dmabuf/words.ts'
import type { DmaBufError } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import { storageBody } from './private-body.ts'
import { type PrivateInit, PrivateType } from './private-message.ts'
import type { Registration } from './registration.ts'

/** The buffer whose holders these are. */
export interface AudienceOwner {
  /** Words of the state segment and where the buffer's record begins in them. */
  readonly words: SharedWords
  readonly base: number
  /** What names it in every message. */
  readonly name: Pick<PrivateInit, 'segment' | 'record' | 'idLow' | 'idHigh'>
  /** Whether holders get its storage from here; else it was in the handle. */
  readonly placed: boolean
  readonly core: { readonly storage: Storage; readonly generation: number; readonly inMove: boolean }
  /** Writes which storage is the present one, and then its generation. */
  setStorage(storage: Storage, generation: number): void
}

/** A storage on its way to one holder. */
interface Offer {
  readonly registration: Registration
  readonly attempt: () => void
  readonly settle: () => void
}

/**
 * The registered holders of one buffer, and the exporter's part of a move towards them: steps M2 to M7 of docs/protocol.md,
 * "Move". Every word of a holder is read once for each look at it.
 */
export class Audience implements MoveAudience {
  readonly #owner: AudienceOwner
  readonly #present = new Set<Registration>()
  /** Came in the middle of a move, and hear of it when that is over. */
  readonly #late = new Set<Registration>()
  readonly #offers = new Set<Offer>()
  /** Seen inside a bracket at the last look. */
  readonly #inside = new Set<Registration>()
  /** Nobody waits for them in this move, which leaves them behind if it succeeds. */
  readonly #behind = new Set<Registration>()
  #quieted: (() => void) | undefined
  #moving: boolean

  constructor(owner: AudienceOwner) {
    this.#owner = owner
    // A buffer may leave for the first time in the middle of a move.
    this.#moving = owner.core.inMove
  }

  *[Symbol.iterator](): Generator<Registration, void, undefined> {
    yield* this.#present
    yield* this.#late
  }

  // ---- holders come, speak and go ---------------------------------------------------------------------------

  add(registration: Registration): void {
    if (this.#moving) this.#late.add(registration)
    else this.#admit(registration)
  }

  /** Released, gone, or dropped: nobody waits for it. */
  remove(registration: Registration): void {
    this.#late.delete(registration)
    this.#present.delete(registration)
    this.#behind.delete(registration)
    for (const offer of this.#offers) if (offer.registration === registration) offer.settle()
    this.#left(registration)
  }

  /** It has read a storage that it was sent. */
  taken(registration: Registration): void {
    if (registration.unread > 0) registration.unread--
    for (const offer of this.#offers) if (offer.registration === registration) offer.attempt()
  }

  /** It says that it is inside no bracket any more; its word tells. */
  lowered(registration: Registration): void {
    if (this.#inside.has(registration) && !isInside(registration)) this.#left(registration)
  }

  tell(type: number): void {
    for (const { holder, serial } of this) holder.send({ type, serial, ...this.#owner.name })
  }

  /** The buffer is no more. */
  close(): void {
    const all = [...this]
    for (const registration of all) this.remove(registration)
    for (const registration of all) registration.dropped()
  }

  // ---- the move, step by step -------------------------------------------------------------------------------

  allocated(storage: Storage, generation: number): void {
    for (const registration of this.#present) this.#answer(registration, storage, generation)
    this.commit(storage, generation)
    // Who reads faster than this side writes has found the old generation, and waits.
    this.#go(generation)
  }

  async offer(storage: Storage, generation: number): Promise<void> {
    this.#moving = true
    await Promise.all(
      Array.from(this.#present, (registration) => this.#offer(registration, storage, generation)),
    )
  }

  begin(): void {
    const { words, base } = this.#owner
    words.store(base + StateRecord.moving, 1)
  }

  quiet(signal: AbortSignal): Promise<void> {
    // Once 0 is enough: whoever raises its count later sees that the buffer is moving.
    for (const registration of this.#present) {
      if (!this.#behind.has(registration) && isInside(registration)) this.#inside.add(registration)
    }
    if (this.#inside.size === 0) return Promise.resolve()
    if (signal.aborted) return Promise.reject(signal.reason)
    return new Promise<void>((resolve, reject) => {
      const stop = () => {
        this.#quieted = undefined
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      this.#quieted = () => {
        signal.removeEventListener('abort', stop)
        resolve()
      }
    })
  }

  evict(): void {
    for (const { registration, settle } of this.#offers) {
      this.#behind.add(registration)
      settle()
    }
    for (const registration of this.#inside) if (isInside(registration)) this.#behind.add(registration)
    this.#inside.clear()
  }

  commit(storage: Storage, generation: number): void {
    const behind = [...this.#behind]
    // Told before the generation is written: then nobody finds that changed without finding this in its socket too. And not
    // before the contents are there: a move that fails leaves nobody behind.
    for (const { holder, serial } of behind) {
      holder.send({ type: PrivateType.evicted, serial, ...this.#owner.name })
    }
    this.#owner.setStorage(storage, generation)
    for (const registration of behind) {
      this.remove(registration)
      registration.dropped()
    }
  }

  end(generation: number): void {
    const { words, base } = this.#owner
    words.store(base + StateRecord.moving, 0)
    this.#moving = false
    this.#inside.clear()
    this.#behind.clear()
    this.#quieted = undefined
    for (const offer of this.#offers) offer.settle()
    this.#go(generation)
    const late = [...this.#late]
    this.#late.clear()
    for (const registration of late) this.#admit(registration)
  }

  // -----------------------------------------------------------------------------------------------------------

  #go(generation: number): void {
    for (const { holder, serial } of this.#present) {
      holder.send({ type: PrivateType.go, generation, serial, ...this.#owner.name })
    }
  }

  #admit(registration: Registration): void {
    this.#present.add(registration)
    const { placed, core } = this.#owner
    const { storage, generation } = core
    if (placed && generation > 0) this.#answer(registration, storage, generation)
  }

  #answer(registration: Registration, storage: Storage, generation: number): void {
    this.#send(registration, storage, generation, (error) => {
      if (error !== undefined && this.#present.has(registration)) registration.holder.fail(error.message)
    })
  }

  #offer(registration: Registration, storage: Storage, generation: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let sent = false
      const offer: Offer = {
        registration,
        attempt: () => {
          if (sent || registration.unread >= limits.maxUnreadStorages) return
          sent = true
          this.#send(registration, storage, generation, (error) => {
            // One that is gone need not be told; for one that cannot be told there is no move.
            if (error !== undefined && error.code !== 'EPIPE') reject(error)
            offer.settle()
          })
        },
        settle: () => {
          this.#offers.delete(offer)
          resolve()
        },
      }
      this.#offers.add(offer)
      offer.attempt()
    })
  }

  #send(
    registration: Registration,
    storage: Storage,
    generation: number,
    done: (error: DmaBufError | undefined) => void,
  ): void {
    const { holder, serial } = registration
    registration.unread++
    const message = { type: PrivateType.storage, generation, serial, ...this.#owner.name }
    holder.send(message, { fd: storage.fd, body: storageBody(storage), done })
  }

  #left(registration: Registration): void {
    if (!this.#inside.delete(registration) || this.#inside.size > 0) return
    this.#quieted?.()
    this.#quieted = undefined
  }
}

function isInside({ holder, slot }: Registration): boolean {
  return holder.openBrackets(slot) > 0
}
