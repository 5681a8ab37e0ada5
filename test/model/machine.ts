/**
 * A computer as the protocol sees it: shared memory with the order of x86 (total store order), and connections. The
 * whole state is one array of small numbers, so that the checker can keep millions of them.
 *
 * Order of memory: a plain store goes into the processor's own store buffer and from there to memory some time later,
 * in order; a load sees the processor's own buffered stores, else memory. An instruction with a lock (`Atomics.add`,
 * a `seq_cst` store) and a system call empty the buffer first. That they do it at once loses nothing: that the stores
 * leave one by one before it is another path.
 */
export class Machine {
  /** The present state; steps change it. Its length is a multiple of 4, for those who look at it in words. */
  cells = new Uint8Array(0)
  /** What a step found to be wrong, set by {@link fail}. */
  failure: string | undefined
  #used = 0

  /** Cells that begin with 0; only before anybody looks at the state. Returns the first one's number. */
  allocate(count: number): number {
    const first = this.#used
    this.#used += count
    if (this.#used > 255) throw new Error('more cells than a byte can number')
    const cells = new Uint8Array(Math.ceil(this.#used / 4) * 4)
    cells.set(this.cells)
    this.cells = cells
    return first
  }

  /** Numbers that one party alone sees, each under its name. */
  registers<Name extends string>(names: readonly Name[]): Record<Name, number> {
    const first = this.allocate(names.length)
    const registers = {} as Record<Name, number>
    names.forEach((name, index) => {
      Object.defineProperty(registers, name, {
        enumerable: true,
        get: () => this.cells[first + index]!,
        set: (value: number) => {
          this.cells[first + index] = value
        },
      })
    })
    return registers
  }

  fail(kind: string): void {
    this.failure ??= kind
  }
}

/** Sets registers to 0: numbers that nobody will look at again make no two states of one. */
export function clear(registers: Record<string, number>): void {
  for (const name of Object.keys(registers)) registers[name] = 0
}

/** Stores that a processor can have under way; one more sends the oldest to memory, as hardware does. */
const BUFFERED = 4

/** What executes one party's program: its store buffer, and the instructions that go through it. */
export class Processor {
  readonly #machine: Machine
  /** Number of buffered stores, then the cell and the value of each, oldest first. */
  readonly #buffer: number

  constructor(machine: Machine) {
    this.#machine = machine
    this.#buffer = machine.allocate(1 + 2 * BUFFERED)
  }

  get buffered(): number {
    return this.#machine.cells[this.#buffer]!
  }

  load(cell: number): number {
    const { cells } = this.#machine
    for (let at = this.#buffer + 2 * this.buffered - 1; at > this.#buffer; at -= 2) {
      if (cells[at] === cell) return cells[at + 1]!
    }
    return cells[cell]!
  }

  /** A plain or a release store. */
  store(cell: number, value: number): void {
    if (this.buffered === BUFFERED) this.flush()
    const { cells } = this.#machine
    const at = this.#buffer + 1 + 2 * cells[this.#buffer]!++
    cells[at] = cell
    cells[at + 1] = value
  }

  /** A sequentially consistent store. */
  storeFenced(cell: number, value: number): void {
    this.fence()
    this.#machine.cells[cell] = value
  }

  /** `Atomics.add`: what was there before. */
  add(cell: number, value: number): number {
    this.fence()
    const before = this.#machine.cells[cell]!
    this.#machine.cells[cell] = before + value
    return before
  }

  fence(): void {
    while (this.buffered > 0) this.flush()
  }

  /** The oldest buffered store reaches memory. */
  flush(): void {
    const { cells } = this.#machine
    const first = this.#buffer + 1
    cells[cells[first]!] = cells[first + 1]!
    cells.copyWithin(first, first + 2, first + 2 * BUFFERED)
    cells.fill(0, first + 2 * (BUFFERED - 1), first + 2 * BUFFERED)
    cells[this.#buffer]!--
  }
}

/** One direction of a connection: messages, each a number above 0, arrive in order. What is queued outlives its sender. */
export class Queue {
  readonly #machine: Machine
  readonly #first: number
  readonly #room: number
  readonly #closed: number

  /** `room`: more than the model ever sends, or it is the model that is wrong. */
  constructor(machine: Machine, room: number) {
    this.#machine = machine
    this.#room = room
    this.#first = machine.allocate(room)
    this.#closed = machine.allocate(1)
  }

  /** The receiver is gone, and with it what it has not read. */
  close(): void {
    const { cells } = this.#machine
    cells.fill(0, this.#first, this.#first + this.#room)
    cells[this.#closed] = 1
  }

  get length(): number {
    const { cells } = this.#machine
    let length = 0
    while (length < this.#room && cells[this.#first + length] !== 0) length++
    return length
  }

  /** `sendmsg`: a system call, and so a fence. To a receiver that is gone it fails, and nobody cares. */
  send(sender: Processor, message: number): void {
    sender.fence()
    if (this.#machine.cells[this.#closed] === 1) return
    const { length } = this
    if (length === this.#room) throw new Error('a queue of the model is too short')
    this.#machine.cells[this.#first + length] = message
  }

  /** `recvmsg`: the oldest message, 0 for none. */
  receive(): number {
    const { cells } = this.#machine
    const oldest = cells[this.#first]!
    cells.copyWithin(this.#first, this.#first + 1, this.#first + this.#room)
    cells[this.#first + this.#room - 1] = 0
    return oldest
  }
}
