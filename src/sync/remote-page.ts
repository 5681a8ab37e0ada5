import { errno } from '../internal/errors.ts'
import { type FileFacts, identityKey } from '../memory/facts.ts'
import { mapSegment } from '../memory/segment.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { newContext } from './context.ts'
import { hangups } from './hangup-watch.ts'
import type { RemoteFence } from './remote-fence.ts'
import { isTimelinePage, TIMELINE_PAGE_BYTES, TimelineHeader } from './timeline-words.ts'

const POLLIN = 1

/** Pages of other environments, by identity; each as long as a pending fence of it is here. */
const pages = new Map<string, RemotePage>()

/** The timelines of another environment: written by it alone, which the kernel vouches for. */
export class RemotePage {
  readonly fd: number
  readonly words: SharedWords
  /** By slot, context and number. */
  readonly pending = new Map<string, RemoteFence>()
  readonly #key: string
  readonly #mapping: Mapping
  /** Numbers of this environment for the contexts of another. */
  readonly #contexts = new Map<string, number>()
  #pidfd = -1
  #dead = false

  private constructor(fd: number, key: string, words: SharedWords, mapping: Mapping) {
    this.fd = fd
    this.#key = key
    this.words = words
    this.#mapping = mapping
    pages.set(key, this)
  }

  /** Takes a page that passed the gate; consumes `fd` when it returns one. `end` tells the process behind it. */
  static open(fd: number, facts: FileFacts, end: number): RemotePage | string {
    const key = identityKey(facts)
    const known = pages.get(key)
    if (known !== undefined) {
      addon().close(fd)
      return known
    }
    const { words, mapping } = mapSegment(fd, TIMELINE_PAGE_BYTES)
    if (!isTimelinePage(words)) {
      mapping.close()
      return 'a page of timelines that is none'
    }
    const page = new RemotePage(fd, key, words, mapping)
    page.#watchProcess(end)
    return page
  }

  /** Nobody will write the page any more. */
  get ended(): boolean {
    return this.#dead || this.words.load(TimelineHeader.ended) !== 0
  }

  /** Asks whether its process is there, for those who cannot wait for the event. */
  askProcess(): void {
    if (this.#pidfd >= 0 && (addon().pollNow(this.#pidfd, POLLIN) & POLLIN) !== 0) this.#dead = true
  }

  /** This environment's number for one of its contexts. */
  contextOf(slot: number, low: number, high: number): number {
    const key = `${slot} ${high} ${low}`
    let context = this.#contexts.get(key)
    if (context === undefined) {
      context = newContext()
      this.#contexts.set(key, context)
    }
    return context
  }

  /** With the last pending fence the page goes. Another one may have the key by now. */
  remove(key: string, fence: RemoteFence): void {
    if (this.pending.get(key) !== fence) return
    this.pending.delete(key)
    this.dropIfUnused()
  }

  dropIfUnused(): void {
    if (this.pending.size > 0 || pages.get(this.#key) !== this) return
    pages.delete(this.#key)
    this.#unwatch()
    this.#mapping.close()
    addon().close(this.fd)
  }

  /** The maker of the socket pair is the signaller. A fork may keep its end open after it has died: the process tells. */
  #watchProcess(end: number): void {
    const pidfd = addon().peerPidfd(end)
    if (pidfd === -errno.ESRCH) this.#dead = true
    if (pidfd < 0) return
    try {
      hangups.once(pidfd, POLLIN, () => this.#died())
      this.#pidfd = pidfd
    } catch {
      addon().close(pidfd)
    }
  }

  #died(): void {
    this.#dead = true
    for (const fence of [...this.pending.values()]) fence.settle()
  }

  #unwatch(): void {
    if (this.#pidfd < 0) return
    hangups.cancel(this.#pidfd)
    addon().close(this.#pidfd)
    this.#pidfd = -1
  }
}
