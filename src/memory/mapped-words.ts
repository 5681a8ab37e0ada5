import { errno, systemError } from '../internal/errors.ts'
import type { Mapping } from '../native/addon.ts'
import type { SharedWords } from './shared-words.ts'

/** Words of a mapping that no ArrayBuffer may lie over: each access is a call of the addon. */
export class MappedWords implements SharedWords {
  readonly source: Mapping

  constructor(source: Mapping) {
    this.source = source
  }

  get(index: number): number {
    return Math.max(0, this.source.loadWord(index))
  }

  set(index: number, value: number): void {
    const result = this.source.storeWord(index, value >>> 0)
    if (result !== -errno.EBADF) done(result)
  }

  count(index: number, value: number): number {
    return (this.add(index, value) + value) >>> 0
  }

  load(index: number): number {
    return done(this.source.loadWord(index))
  }

  store(index: number, value: number): void {
    done(this.source.storeWord(index, value >>> 0))
  }

  add(index: number, value: number): number {
    return done(this.source.addWord(index, value >>> 0))
  }

  or(index: number, value: number): void {
    done(this.source.orWord(index, value >>> 0))
  }
}

function done(result: number): number {
  if (result < 0) throw systemError(result, 'mmap', 'a word of a shared page')
  return result
}
