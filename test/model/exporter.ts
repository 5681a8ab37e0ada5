import type { Holder } from './holder.ts'
import { LOST_STORE, REUSED_NUMBER } from './kinds.ts'
import { clear } from './machine.ts'
import {
  EVICTED,
  GO,
  LOWERED,
  message,
  Party,
  REGISTER,
  RELEASE,
  type Shared,
  STORAGE,
  type StepResult,
  WAIT,
  WANT,
} from './shared.ts'

type Step =
  | ('M1' | 'M2' | 'M3' | 'M4' | 'asleep' | 'M5' | 'EVICTED' | 'M6' | 'M7' | 'GO')
  | ('aborts' | 'first STORAGE' | 'first generation' | 'M2 too late' | 'M7 too early' | 'EVICTED too late')

/** Steps between which its event loop turns: where it awaits something. */
const awaits: readonly Step[] = ['M1', 'M2', 'M4', 'asleep', 'M5']

/** How far the eviction of a holder is. */
const untold = 1
const told = 2

/** Steps at which a move can still fail. */
const beforeCommit: readonly Step[] = ['M4', 'asleep', 'M5', 'EVICTED', 'M6', 'aborts']

/** What the exporter knows of one holder. */
const knows = ['registered', 'owesAnswer', 'evicts'] as const

/** The exporter: docs/protocol.md, "Move", step by step. */
export class Exporter extends Party<Step> {
  readonly name = 'E'
  readonly #r
  readonly #of: Record<(typeof knows)[number], number>[]
  #holders: readonly Holder[] = []

  constructor(shared: Shared) {
    super(shared)
    this.#r = shared.machine.registers([
      // The buffer's generation and storage; what it is being moved to; the highest numbers given so far.
      ...(['generation', 'storage', 'next', 'fresh', 'numbers', 'storages'] as const),
      // Moves begun; the holder (or writer) that a step is about; its own brackets: open, begun; whether the flag is up.
      ...(['tries', 'holder', 'open', 'own', 'unread'] as const),
    ])
    this.#of = shared.links.map(() => shared.machine.registers(knows))
  }

  start(holders: readonly Holder[]): void {
    this.#holders = holders
    this.#goto('M1')
    const { holders: plans, placed } = this.shared.scenario
    if (placed !== false) this.#publish(1, 1)
    plans.forEach(({ registered }, h) => {
      this.#of[h]!.registered = registered === false ? 0 : 1
    })
    this.processor.fence()
  }

  override die(): void {
    super.die()
    this.#r.unread = this.shared.links.some(({ toExporter }) => toExporter.length > 0) ? 1 : 0
    for (const { toExporter } of this.shared.links) toExporter.close()
    this.#forget()
    for (const of of this.#of) clear(of)
    if (beforeCommit.includes(this.at)) for (const holder of this.#holders) holder.settle(false)
  }

  readonly steps: Record<Step, () => StepResult> = {
    /** At rest between moves; then takes new storage. */
    M1: () => {
      if (this.finished) return WAIT
      this.#r.tries++
      if (this.#r.generation === 0) return this.#goto('first STORAGE')
      this.#r.fresh = ++this.#r.storages
      this.#r.next = this.shared.omits('an aborted move keeps its number')
        ? this.#r.generation + 1
        : this.#r.numbers + 1
      if (this.#r.next <= this.#r.numbers) this.shared.machine.fail(REUSED_NUMBER)
      this.#r.numbers = this.#r.next
      const late = this.shared.omits('descriptor sent after the generation is published')
      this.#goto(late ? 'M3' : 'M2')
    },
    M2: () => this.#offer('M3'),
    M3: () => {
      const { moving } = this.shared
      if (this.shared.omits('no fence in the exporter')) this.processor.store(moving, 1)
      else this.processor.storeFenced(moving, 1)
      this.#goto('M4')
    },
    M4: () => {
      if (this.#r.open > 0) return WAIT
      const h = this.#nextHolder()
      // 0 once is enough: a later raise sees the flag.
      if (h !== undefined && this.processor.load(this.shared.links[h]!.count) > 0) return this.goto('asleep')
      this.#r.holder++
      if (this.#nextHolder() === undefined) this.#goto('M5')
    },
    /** Until LOWERED, a release or the hang-up of that holder. */
    asleep: () => WAIT,
    /** At once, because nobody may be inside from M4 on: that is what the properties ask. */
    M5: () => {
      const { shared } = this
      for (let writer = 0; writer < shared.writers; writer++) {
        const old = this.processor.load(shared.word(this.#r.storage, writer))
        this.processor.store(shared.word(this.#r.fresh, writer), old)
      }
      if (shared.omits('the flag falls before the generation is published')) this.#goto('M7 too early')
      else if (this.#evicting === undefined) this.#goto('M6')
      else this.#goto(shared.omits('an evicted holder is told after the commit') ? 'M6' : 'EVICTED')
    },
    /** Those who were not waited for are told, one after the other. For whom there is no room, the move fails. */
    EVICTED: () => {
      const h = this.#evicting
      if (h === undefined) return this.#goto('M6')
      if (this.#isFull(h)) return this.goto('aborts')
      this.#send(h, message(EVICTED))
      this.#of[h]!.evicts = told
    },
    M6: () => {
      const { shared } = this
      this.#publish(this.#r.next, this.#r.fresh)
      for (const holder of this.#holders) holder.settle(true)
      this.#dropTold()
      if (shared.omits('descriptor sent after the generation is published')) this.#goto('M2 too late')
      else this.#goto(shared.omits('the flag falls before the generation is published') ? 'GO' : 'M7')
    },
    'M2 too late': () => this.#offer('M7'),
    'M7 too early': () => {
      this.processor.storeFenced(this.shared.moving, 0)
      this.goto('M6')
    },
    M7: () => {
      const { shared } = this
      this.processor.storeFenced(shared.moving, 0)
      if (!shared.keepsPromises(this.processor, this.#r.storage)) shared.machine.fail(LOST_STORE)
      this.#goto(this.#evicting === undefined ? 'GO' : 'EVICTED too late')
    },
    'EVICTED too late': () => {
      this.steps.EVICTED()
      this.#dropTold()
      this.goto('GO')
    },
    /** Also the end of a move that was aborted, and of the first allocation. */
    GO: () => {
      this.#of.forEach(({ registered }, h) => {
        if (registered === 1) this.#send(h, message(GO, this.#r.generation))
      })
      this.#rest()
    },
    /** Nobody can be inside: the first storage goes to all who are there already. */
    'first STORAGE': () => {
      this.#of.forEach(({ registered }, h) => {
        if (registered === 1) this.#send(h, message(STORAGE, 1, 1))
      })
      this.#goto('first generation')
    },
    'first generation': () => {
      this.#publish(1, 1)
      this.#of.forEach(({ registered }, h) => {
        if (registered === 1) this.#holders[h]!.serve()
      })
      // Who read the storage before its generation was written has found nothing, and waits.
      if (this.shared.omits('the first storage is not followed by GO')) this.#rest()
      else this.#goto('GO')
    },
    aborts: () => {
      this.processor.storeFenced(this.shared.moving, 0)
      // Those who were told already count for as long as they are there.
      for (const of of this.#of) of.evicts = 0
      for (const holder of this.#holders) holder.settle(false)
      if (this.shared.omits('GO is not sent after an abort')) this.#rest()
      else this.#goto('GO')
    },
  }

  // ---- its event loop ----

  /** All that a holder has sent, and after that its hang-up. */
  readConnection(h: number): StepResult {
    if (!awaits.includes(this.at)) return WAIT
    const { toExporter } = this.shared.links[h]!
    let word = toExporter.receive()
    if (word !== 0) {
      for (; word !== 0; word = toExporter.receive()) this.#heard(h, word)
      return
    }
    const hungUp = !this.#holders[h]!.alive && this.#of[h]!.registered === 1
    if (!hungUp || this.shared.omits('the exporter does not watch the hang-up')) return WAIT
    this.#drop(h)
  }

  /** moveTimeout has passed. */
  timeOut(): StepResult {
    const { timeout } = this.shared.scenario
    if (timeout === undefined || !this.#waits) return WAIT
    const h = this.#nextHolder()
    // Nobody can be told more than fits: a full socket ends in an abort, evict or not.
    if (this.at === 'M2') this.#rest()
    else if (timeout === 'abort' || this.at === 'M4' || h === undefined) this.goto('aborts')
    else {
      this.#holders[h]!.excuse()
      this.#of[h]!.evicts = untold
      if (this.shared.omits('an evicted holder is dropped before the commit')) {
        this.steps.EVICTED()
        this.#dropTold()
      }
      this.goto('M4')
    }
  }

  /** Whether what it waits for may well never come: somebody has a bracket open. */
  get waitsInVain(): boolean {
    return this.#holders.some((holder) => holder.inside)
  }

  copyFails(): StepResult {
    if (this.shared.scenario.copyFails !== true || this.at !== 'M5') return WAIT
    this.goto('aborts')
  }

  /** A bracket of the exporter's own: at once where the flag is down, which it knows without looking. */
  beginOwn(): StepResult {
    const { ownBrackets = 0 } = this.shared.scenario
    const may = this.at === 'M1' || this.at === 'M2'
    if (!may || this.#r.open > 0 || this.#r.own === ownBrackets || this.#r.generation === 0) return WAIT
    this.#r.open = 1
    this.#r.own++
    if (!this.shared.keepsPromises(this.processor, this.#r.storage)) this.shared.machine.fail(LOST_STORE)
  }

  endOwn(): StepResult {
    if (this.#r.open === 0 || !awaits.includes(this.at)) return WAIT
    const writer = this.shared.writers - 1
    this.processor.store(this.shared.word(this.#r.storage, writer), this.#r.own)
    this.processor.fence()
    this.#r.open = 0
    this.shared.promise(writer, this.#r.own)
  }

  // ---- what the properties ask ----

  get copies(): boolean {
    return this.alive && (this.at === 'M5' || this.at === 'EVICTED' || this.at === 'M6')
  }

  get storage(): number {
    return this.#r.storage
  }

  get open(): boolean {
    return this.alive && this.#r.open > 0
  }

  /** It has tried to move as often as it will. */
  get finished(): boolean {
    return this.at === 'M1' && this.#r.tries === this.shared.scenario.moves
  }

  get leftUnread(): boolean {
    return this.#r.unread === 1
  }

  get atRest(): boolean {
    return !this.alive || this.finished
  }

  describe(): string {
    const { cells } = this.shared.machine
    const { generation, moving } = this.shared
    const record = `moving ${cells[moving]}, generation ${cells[generation]}`
    return `E ${this.alive ? this.at : 'dead'} (${record}, storage ${this.#r.storage})`
  }

  // ---- parts of steps ----

  /** Goes to a step that begins with the first holder. */
  #goto(step: Step): undefined {
    this.#r.holder = 0
    this.goto(step)
  }

  /** The first registered holder from the present one on that is not being evicted. */
  #nextHolder(): number | undefined {
    for (let h = this.#r.holder; h < this.#of.length; h++) {
      if (this.#of[h]!.registered === 1 && this.#of[h]!.evicts === 0) {
        this.#r.holder = h
        return h
      }
    }
    return undefined
  }

  #offer(then: Step): StepResult {
    const h = this.#nextHolder()
    if (h !== undefined && this.#isFull(h)) return WAIT
    if (h !== undefined) this.#send(h, message(STORAGE, this.#r.next, this.#r.fresh))
    this.#r.holder++
    if (this.#nextHolder() === undefined) this.#goto(then)
  }

  #isFull(h: number): boolean {
    const { room } = this.shared.scenario
    return room !== undefined && this.shared.links[h]!.toHolder.length >= room
  }

  get #waits(): boolean {
    if (this.at === 'asleep') return true
    const h = this.#nextHolder()
    if (this.at === 'M2') return h !== undefined && this.#isFull(h)
    return this.at === 'M4' && this.#r.open > 0
  }

  #heard(h: number, word: number): undefined {
    const of = this.#of[h]!
    const wakes = this.at === 'asleep' && this.#r.holder === h
    if (word === LOWERED && wakes) {
      if (this.shared.omits('LOWERED is believed without another look')) this.#r.holder++
      this.goto('M4')
    } else if (word === RELEASE) {
      if (this.shared.omits('a release does not wake the move')) of.registered = 0
      else this.#drop(h)
    } else if (word === REGISTER) {
      // After the move, if there is one.
      const hasty = this.shared.omits('a registration is answered in the middle of a move')
      if (this.at === 'M1' || hasty) this.#register(h)
      else of.owesAnswer = 1
    } else if (word === WANT && this.#r.generation === 0) this.goto('first STORAGE')
  }

  #drop(h: number): void {
    clear(this.#of[h]!)
    if (this.at === 'asleep' && this.#r.holder === h) this.goto('M4')
  }

  #register(h: number): void {
    this.#of[h]!.registered = 1
    if (this.#r.generation === 0) return
    this.#holders[h]!.serve()
    this.#send(h, message(STORAGE, this.#r.generation, this.#r.storage))
  }

  #publish(generation: number, storage: number): void {
    this.#r.generation = generation
    this.#r.storage = storage
    this.#r.numbers = Math.max(this.#r.numbers, generation)
    this.#r.storages = Math.max(this.#r.storages, storage)
    this.processor.store(this.shared.generation, generation)
  }

  /** The next holder that is to be told of its eviction. */
  get #evicting(): number | undefined {
    const h = this.#of.findIndex(({ evicts }) => evicts === untold)
    return h < 0 ? undefined : h
  }

  #dropTold(): void {
    this.#of.forEach(({ evicts }, h) => {
      if (evicts === told) this.#drop(h)
    })
  }

  #send(h: number, word: number): void {
    this.shared.links[h]!.toHolder.send(this.processor, word)
  }

  #forget(): void {
    this.#r.next = 0
    this.#r.fresh = 0
  }

  /** What was under way is over: who asked meanwhile gets an answer. */
  #rest(): undefined {
    this.#goto('M1')
    this.#forget()
    this.#of.forEach((of, h) => {
      if (of.owesAnswer === 1) this.#register(h)
      of.owesAnswer = 0
    })
  }
}
