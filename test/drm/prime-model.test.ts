import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type DrmClient, DrmDevice } from '../../src/drm.ts'
import { bufinfo, type DmaBuf, SystemHeap } from '../../src/index.ts'
import { useCensus } from '../support/census.ts'

const CLIENTS = 2
const FOREIGN = 2
const size = { width: 16, height: 16, bpp: 32 }

useCensus()

/**
 * PRIME as the kernel has it, without memory: which object each handle of each client stands for, and which objects
 * there are at all. An object of the device lives while somebody has a handle or a dma-buf of it; each client has objects
 * of its own for foreign buffers.
 */
class Model {
  readonly handles = Array.from({ length: CLIENTS }, () => new Map<number, string>())
  /** Objects whose dma-buf is held outside. */
  readonly exported = new Set<string>()
  #created = 0

  create(client: number): { handle: number; object: string } {
    const object = `own ${this.#created++}`
    return { handle: this.#add(client, object), object }
  }

  import(client: number, object: string): number {
    const known = [...this.handles[client]!].find(([, other]) => other === object)
    return known === undefined ? this.#add(client, object) : known[0]
  }

  close(client: number, handle: number): boolean {
    return this.handles[client]!.delete(handle)
  }

  /** Objects that the device has allocated and not freed. */
  get own(): Set<string> {
    const held = [...this.handles.flatMap((handles) => [...handles.values()]), ...this.exported]
    return new Set(held.filter((object) => object.startsWith('own')))
  }

  /** How often a foreign buffer is attached. */
  attachments(object: string): number {
    return this.handles.filter((handles) => [...handles.values()].includes(object)).length
  }

  #add(client: number, object: string): number {
    const handles = this.handles[client]!
    let lowest = 1
    while (handles.has(lowest)) lowest++
    handles.set(lowest, object)
    return lowest
  }
}

const client = fc.nat(CLIENTS - 1)
const handle = fc.nat(6)
const step = fc.oneof(
  fc.record({ do: fc.constant('create' as const), client }),
  fc.record({ do: fc.constant('close' as const), client, handle }),
  fc.record({ do: fc.constant('export' as const), client, handle }),
  fc.record({ do: fc.constant('import' as const), client, which: fc.nat(5) }),
  fc.record({ do: fc.constant('import foreign' as const), client, which: fc.nat(FOREIGN - 1) }),
  fc.record({ do: fc.constant('drop' as const), which: fc.nat(5) }),
  fc.record({ do: fc.constant('reopen' as const), client }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** The real thing beside its model. */
class Run implements Disposable {
  readonly device = new DrmDevice('card0')
  readonly clients: DrmClient[] = Array.from({ length: CLIENTS }, () => this.device.open())
  readonly foreign = Array.from({ length: FOREIGN }, (_, n) =>
    new SystemHeap().allocateSync(4096, { name: `foreign ${n}` }),
  )
  readonly model = new Model()
  /** dma-bufs that were exported and not closed. */
  readonly primes = new Map<string, DmaBuf>()

  async take(doing: Step): Promise<void> {
    const { model } = this
    if (doing.do === 'create') {
      expect(this.clients[doing.client]!.createDumb(size).handle).toBe(model.create(doing.client).handle)
    } else if (doing.do === 'close') {
      const close = () => this.clients[doing.client]!.closeHandle(doing.handle)
      if (model.close(doing.client, doing.handle)) close()
      else expect(close).toThrow('EINVAL')
    } else if (doing.do === 'export') this.#export(doing.client, doing.handle)
    else if (doing.do === 'import') {
      const [object, prime] = [...this.primes][doing.which] ?? []
      if (object === undefined || prime === undefined) return
      expect(await this.clients[doing.client]!.fdToHandle(prime)).toBe(model.import(doing.client, object))
    } else if (doing.do === 'import foreign') {
      const imported = await this.clients[doing.client]!.fdToHandle(this.foreign[doing.which]!)
      expect(imported).toBe(model.import(doing.client, `foreign ${doing.which}`))
    } else if (doing.do === 'drop') {
      const [object, prime] = [...this.primes][doing.which] ?? []
      if (object === undefined) return
      prime?.close()
      this.primes.delete(object)
      model.exported.delete(object)
    } else {
      this.clients[doing.client]!.close()
      this.clients[doing.client] = this.device.open()
      model.handles[doing.client]!.clear()
    }
  }

  #export(client: number, handle: number): void {
    const object = this.model.handles[client]!.get(handle)
    const send = () => this.clients[client]!.handleToFd(handle)
    if (object === undefined) {
      expect(send).toThrow('ENOENT')
      return
    }
    const prime = send()
    const known = object.startsWith('foreign') ? this.foreign[Number(object.at(-1))] : this.primes.get(object)
    if (known === undefined) {
      // The same dma-buf again only while somebody has it; whether it is a new one, its contents do not tell.
      this.primes.set(object, prime)
      this.model.exported.add(object)
      return
    }
    expect(prime.same(known)).toBe(true)
    prime.close()
  }

  check(): void {
    const { buffers, clients } = this.device.stats()
    expect([buffers, clients]).toEqual([this.model.own.size, CLIENTS])
    for (const [n, handles] of this.model.handles.entries())
      expect(this.clients[n]!.handles).toBe(handles.size)
    for (const { name, attachedDevices } of bufinfo().filter((info) => info.name.startsWith('foreign'))) {
      expect(attachedDevices.length).toBe(this.model.attachments(name))
    }
  }

  [Symbol.dispose](): void {
    this.device.close()
    for (const buffer of [...this.primes.values(), ...this.foreign]) buffer.close()
    expect(this.device.stats().buffers).toBe(0)
  }
}

test('handles, objects and dma-bufs of two clients behave as a model of PRIME', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      using run = new Run()
      for (const doing of steps) {
        await run.take(doing)
        run.check()
      }
    }),
    { numRuns: 60 },
  )
})
