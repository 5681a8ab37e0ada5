import { DEPRIVED, LOST_STORE, SILENT_EVICTION } from './kinds.ts'
import { clear } from './machine.ts'
import type { Action } from './scenario.ts'
import {
  EVICTED,
  type Link,
  LOWERED,
  message,
  Party,
  parts,
  REGISTER,
  RELEASE,
  type Shared,
  STORAGE,
  type StepResult,
  WAIT,
  WANT,
} from './shared.ts'

type Step =
  | ('register' | 'B4 too early' | 'B1' | 'B3' | 'B4' | 'B6' | 'asleep' | 'E1' | 'E2')
  | ('forward' | 'forward sends' | 'receive' | 'knock' | 'release' | 'reuse' | 'done')

/** Where its event loop turns, besides where it sleeps. */
const betweenActions: readonly Step[] = [
  ...(['register', 'B4 too early', 'B1', 'forward', 'receive', 'knock', 'release', 'reuse', 'done'] as const),
]

/** Whether an eviction may still be taken back. */
const inThisMove = 1
const forGood = 2

/** Why a holder lowers its count. */
const Lowers = { end: 0, backOff: 1, storage: 2, want: 3, giveUp: 4 } as const

/** What a holder must see of the exporter otherwise than through memory and messages. */
interface Other {
  readonly alive: boolean
  /** Whether it has tried to move all it will. */
  readonly finished: boolean
  /** It died with messages in its sockets. */
  readonly leftUnread: boolean
}

/** A holder: docs/protocol.md, "Placed buffers", step by step. */
export class Holder extends Party<Step> {
  readonly name: string
  readonly #number: number
  readonly #link: Link
  readonly #actions: readonly Action[]
  readonly #exporter: Other
  /** Where it is in its program; the storage it maps; what came with a forwarded handle; what it has heard. */
  readonly #r
  /** Only the properties look at these. */
  readonly #ghost
  /** By generation: the storage whose descriptor has come for it, 0 for none. */
  readonly #received: number

  constructor(shared: Shared, number: number, exporter: Other) {
    super(shared)
    const { machine, scenario } = shared
    this.name = 'XYZ'.charAt(number)
    this.#number = number
    this.#link = shared.links[number]!
    this.#actions = scenario.holders[number]!.actions
    this.#exporter = exporter
    this.#r = machine.registers([
      ...(['begun', 'depth', 'written', 'lowers', 'early', 'mapped', 'storage'] as const),
      ...(['fallback', 'fallbackStorage', 'exporterDead', 'evicted', 'wanting'] as const),
    ])
    this.#ghost = machine.registers(['inside', 'served', 'excused', 'lost'])
    this.#received = machine.allocate(shared.most + 1)
  }

  start(): void {
    const { scenario } = this.shared
    if (scenario.holders[this.#number]!.registered !== false && scenario.placed !== false) {
      this.#map(1, 1)
      this.#ghost.served = 1
    }
    this.#nextAction()
  }

  override die(): void {
    super.die()
    this.#link.toHolder.close()
    // Nobody looks at what it knew; its count stays as it is.
    clear(this.#r)
    clear(this.#ghost)
    this.#map(0, 0)
  }

  readonly steps: Record<Step, () => StepResult> = {
    register: () => {
      this.#link.toExporter.send(this.processor, REGISTER)
      this.#nextAction()
    },

    // ---- begin ----

    'B4 too early': () => {
      this.#r.early = this.processor.load(this.shared.generation)
      this.goto('B1')
    },
    B1: () => {
      const { count } = this.#link
      const before = this.processor.load(count)
      if (this.shared.omits('no fence in begin')) this.processor.store(count, before + 1)
      else this.processor.add(count, 1)
      this.#r.depth++
      // B2: who is inside excludes moves already, and must not look at the flag.
      if (before > 0 && !this.shared.omits('a nested begin backs off')) this.#enter()
      else this.goto('B3')
    },
    B3: () => {
      const moving = this.processor.load(this.shared.moving) === 1
      // After the exporter's death the flag counts as down.
      if (moving && this.#r.exporterDead === 0) this.#lower(this.#willHearGo ? 'backOff' : 'storage')
      else this.goto('B4')
    },
    B4: () => {
      const early = this.shared.omits('generation read before the counter is raised')
      const generation = early ? this.#r.early : this.processor.load(this.shared.generation)
      if (generation !== this.#r.mapped || generation === 0) {
        this.#drain(generation)
        if (this.#r.evicted === 1) return this.#lower('giveUp')
        const storage = this.#storageOf(generation)
        if (storage === 0) return this.#goWithout(generation)
        this.#map(generation, storage)
      }
      this.#enter()
    },

    // ---- back off ----

    B6: () => {
      this.processor.add(this.#link.count, -1)
      this.#r.depth--
      this.#ghost.excused = 0
      const silent = this.shared.omits('a begin that backs off does not tell')
      if (silent) this.#lowered()
      else this.goto('E2')
    },
    asleep: () => {
      const news = this.#drain()
      if (news === 'nothing') return WAIT
      if (this.#r.evicted === 1) this.goto('done')
      else if (news === 'wake' || this.#r.exporterDead === 1) this.#begin()
    },

    // ---- end ----

    E1: () => {
      if (this.#action === 'sit' && this.#exporter.alive && !this.#exporter.finished) return WAIT
      const { count } = this.#link
      if (this.shared.omits('no fence in end')) this.processor.store(count, this.processor.load(count) - 1)
      else this.processor.add(count, -1)
      if (--this.#r.depth === 0) this.#left()
      this.#r.lowers = Lowers.end
      if (this.shared.omits('end does not look at the flag')) this.#lowered()
      else this.goto('E2')
    },
    /** That a message is sent later than this is that it is read later, which is a path of its own. */
    E2: () => {
      const { toExporter } = this.#link
      if (this.processor.load(this.shared.moving) === 1) toExporter.send(this.processor, LOWERED)
      if (this.#r.lowers === Lowers.want && this.#r.wanting === 0) {
        toExporter.send(this.processor, WANT)
        this.#r.wanting = 1
      }
      this.#lowered()
    },

    // ---- passing it on, and leaving ----

    forward: () => {
      const generation = this.processor.load(this.shared.generation)
      this.#drain()
      const storage = this.#storageOf(generation)
      if (storage !== 0) this.#map(generation, storage)
      this.goto('forward sends')
    },
    'forward sends': () => {
      this.shared.channel.send(this.processor, message(STORAGE, this.#r.mapped, this.#r.storage))
      this.#nextAction()
    },
    receive: () => {
      const handle = this.shared.channel.receive()
      if (handle === 0) return WAIT
      const { generation, storage } = parts(handle)
      this.#r.fallback = generation
      this.#r.fallbackStorage = storage
      if (!this.shared.omits('a holder that has not registered')) return this.goto('knock')
      this.#map(generation, storage)
      this.#nextAction()
    },
    knock: () => {
      if (this.#exporter.alive) this.#link.toExporter.send(this.processor, REGISTER)
      else this.#r.exporterDead = 1
      this.#nextAction()
    },
    release: () => {
      this.#link.toExporter.send(this.processor, RELEASE)
      this.goto('reuse')
    },
    reuse: () => {
      this.processor.add(this.#link.count, 1)
      this.#nextAction()
    },
    done: () => WAIT,
  }

  /** The event loop reads the connection whenever JS runs nothing else. */
  readConnection(): StepResult {
    const careless = this.shared.omits('a begin that backs off lets the event loop turn before it waits')
    const turns = betweenActions.includes(this.at) || (careless && this.at === 'E2')
    if (this.#r.depth > 0 || !turns || this.#drain() === 'nothing') return WAIT
    if (this.#r.evicted === 1) this.goto('done')
  }

  // ---- what the properties ask ----

  get inside(): boolean {
    return this.alive && this.#ghost.inside === 1
  }

  /** It is in a bracket that an eviction has ended: what it stores there is lost, and it must be told. */
  get excused(): boolean {
    return this.#ghost.excused > 0
  }

  get storage(): number {
    return this.#r.storage
  }

  /** It wants nothing; to wait for a handle that nobody sends is no fault. */
  get atRest(): boolean {
    return !this.alive || this.at === 'done' || (this.at === 'receive' && this.shared.channel.length === 0)
  }

  /** The exporter evicts it, in a move that may still fail; what it stores in its open bracket is lost with that. */
  excuse(): void {
    if (this.#r.depth > 0) this.#ghost.excused = inThisMove
  }

  /** The move ends, committed or not. */
  settle(committed: boolean): void {
    const { excused, lost } = this.#ghost
    if (excused === inThisMove) this.#ghost.excused = committed ? forGood : 0
    if (lost !== inThisMove) return
    this.#ghost.lost = committed ? forGood : 0
    if (!committed) this.shared.promise(this.#number, this.#r.written)
  }

  /** The exporter has sent it storage: from now on it can rely on having it. */
  serve(): void {
    this.#ghost.served = 1
  }

  describe(): string {
    const { depth, mapped, storage } = this.#r
    const count = this.shared.machine.cells[this.#link.count]
    const state = this.alive ? this.at : 'dead'
    return `${this.name} ${state} (count ${count}, depth ${depth}, maps ${mapped} in storage ${storage})`
  }

  // ---- parts of steps ----

  get #action(): Action | undefined {
    return this.#actions[this.#r.begun - 1]
  }

  #nextAction(): void {
    this.#r.begun++
    this.#r.lowers = 0
    const action = this.#action
    if (action === undefined || this.#r.evicted === 1) this.goto('done')
    else if (action === 'register' || action === 'forward' || action === 'receive' || action === 'release') {
      this.goto(action)
    } else this.#begin()
  }

  #begin(): void {
    this.#r.lowers = 0
    const early = this.shared.omits('generation read before the counter is raised')
    this.goto(early ? 'B4 too early' : 'B1')
  }

  #enter(): undefined {
    const { shared } = this
    this.#ghost.inside = 1
    if (this.#ghost.lost > 0) shared.machine.fail(SILENT_EVICTION)
    if (!shared.keepsPromises(this.processor, this.#r.storage)) shared.machine.fail(LOST_STORE)
    // W: a store is in the store buffer from here on, and reaches memory at any time.
    if (this.#action === 'read' || this.#r.depth > 1) return this.goto('E1')
    this.processor.store(shared.word(this.#r.storage, this.#number), ++this.#r.written)
    if (this.#action === 'nested') this.#begin()
    else this.goto('E1')
  }

  #left(): void {
    this.#ghost.inside = 0
    if (this.#ghost.excused === 0) this.shared.promise(this.#number, this.#r.written)
    else this.#ghost.lost = this.#ghost.excused
    this.#ghost.excused = 0
  }

  /** Whoever is registered is sent what storage there is; where there is none yet, somebody must ask. */
  #goWithout(generation: number): undefined {
    if (this.#r.exporterDead === 1) this.#lower('giveUp')
    else this.#lower(generation === 0 ? 'want' : 'storage')
  }

  #lower(why: keyof typeof Lowers): undefined {
    const deprived = why === 'giveUp' && this.#r.evicted === 0 && this.#ghost.served === 1
    if (deprived) this.shared.machine.fail(DEPRIVED)
    this.#r.lowers = Lowers[why]
    this.goto('B6')
  }

  /** What follows when the count is lowered and the exporter told. */
  #lowered(): void {
    const { lowers } = this.#r
    if (lowers === Lowers.storage || lowers === Lowers.want) this.goto('asleep')
    else if (lowers === Lowers.giveUp) this.goto('done')
    else if (lowers === Lowers.backOff && this.#action !== 'try') this.goto('asleep')
    else if (this.#r.depth > 0) this.goto('E1')
    else this.#nextAction()
  }

  /** Whether GO will come: it does to those who are registered, and whoever was given storage is one of them. */
  get #willHearGo(): boolean {
    if (this.#r.mapped > 0 || this.shared.omits('a holder without storage waits for GO')) return true
    return this.shared.machine.cells
      .subarray(this.#received, this.#received + this.shared.most + 1)
      .some((storage) => storage > 0)
  }

  #storageOf(generation: number): number {
    const received = this.shared.machine.cells[this.#received + generation]!
    if (received !== 0 || this.#r.exporterDead === 0) return received
    // What came with the handle counts only when the door is dead, and only if it is the last word.
    const last =
      this.#r.fallback === generation || this.shared.omits('the fallback is used whatever its generation')
    return last ? this.#r.fallbackStorage : 0
  }

  #map(generation: number, storage: number): void {
    this.#r.mapped = generation
    this.#r.storage = storage
    this.shared.machine.cells.fill(0, this.#received, this.#received + generation + 1)
  }

  /** Reads all that is in the connection, and after that its end, if its exporter is dead. */
  #drain(wanted = 0): 'nothing' | 'news' | 'wake' {
    const { shared } = this
    let found: 'nothing' | 'news' | 'wake' = 'nothing'
    const stops = shared.omits('a drain stops at the storage it looks for') && wanted > 0
    // A peer that dies with our packets unread resets the connection: an error before what it had sent.
    const reset =
      shared.omits('a reset is taken for the end') && !this.#exporter.alive && this.#exporter.leftUnread
    if (!reset) {
      for (let next = this.#link.toHolder.receive(); next !== 0; next = this.#link.toHolder.receive()) {
        const wakes = this.#heard(next)
        if (wakes || found === 'wake') found = 'wake'
        else found = 'news'
        if (stops && this.#storageOf(wanted) !== 0) return found
      }
    }
    if (this.#exporter.alive || this.#r.exporterDead === 1) return found
    if (shared.omits('a holder does not watch the hang-up')) return found
    this.#r.exporterDead = 1
    return found === 'wake' ? found : 'news'
  }

  /** Takes note of a message; whether somebody who sleeps waits for it. */
  #heard(word: number): boolean {
    const { type, generation, storage } = parts(word)
    const { cells } = this.shared.machine
    if (type === EVICTED) this.#r.evicted = 1
    // GO and EVICTED wake whoever sleeps.
    if (type !== STORAGE) return true
    if (this.shared.omits('only the newest storage is kept')) {
      cells.fill(0, this.#received, this.#received + this.shared.most + 1)
    }
    cells[this.#received + generation] = storage
    return this.#r.lowers === Lowers.want || this.#r.lowers === Lowers.storage
  }
}
