import fc from 'fast-check'
import { expect, test } from 'vitest'
import { unconstrained } from '../../src/dma/constraints.ts'
import type { PageSource, Pages } from '../../src/dma/page-source.ts'
import { type Tenant, VideoMemory } from '../../src/drm/video-memory.ts'
import { problem } from '../../src/internal/errors.ts'
import { codeOf } from '../support/fails.ts'

const LIMIT = 10

/** Pages that are nothing but a number, which never goes above the limit. */
class Counted implements PageSource {
  taken = 0

  allocate(byteLength: number): Pages {
    if (this.taken + byteLength > LIMIT) {
      throw problem('noPages', { bytes: byteLength, rule: 'size', needed: '', got: '' })
    }
    this.taken += byteLength
    let freed = false
    return {
      segments: [{ address: 0, length: byteLength }],
      free: () => {
        if (!freed) this.taken -= byteLength
        freed = true
      },
    }
  }
}

class FakeTenant implements Tenant {
  readonly byteLength: number
  readonly name: string
  readonly #left: string[]
  held = false
  refuses = false
  pages: Pages | undefined

  constructor(name: string, byteLength: number, left: string[]) {
    this.name = name
    this.byteLength = byteLength
    this.#left = left
  }

  get idle(): boolean {
    return !this.held
  }

  async leave(): Promise<void> {
    await Promise.resolve()
    if (this.refuses) throw problem('moveTimeout', { name: this.name, milliseconds: 1, who: 'somebody' })
    this.#left.push(this.name)
    this.pages?.free()
    this.pages = undefined
  }
}

const sizes = [1, 2, 3, 4, 6, 10, 11]

test('room is made by those that were used least recently, never by those in use, and is counted exactly', async () => {
  const step = fc.record({
    do: fc.constantFrom(
      'take' as const,
      'take' as const,
      'touch' as const,
      'hold' as const,
      'let go' as const,
      'free' as const,
    ),
    which: fc.nat(sizes.length - 1),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const source = new Counted()
      const memory = new VideoMemory(LIMIT, source)
      const left: string[] = []
      const tenants = sizes.map((size, n) => new FakeTenant(`t${n}`, size, left))
      /** Who has pages, the least recently used first. */
      let order: FakeTenant[] = []
      for (const { do: doing, which } of steps) {
        const tenant = tenants[which]!
        if (doing === 'touch') {
          memory.touch(tenant)
          if (order.includes(tenant)) order = [...order.filter((other) => other !== tenant), tenant]
        } else if (doing === 'hold') tenant.held = true
        else if (doing === 'let go') tenant.held = false
        else if (doing === 'free') {
          tenant.pages?.free()
          tenant.pages = undefined
          order = order.filter((other) => other !== tenant)
        } else if (tenant.pages === undefined) {
          const expected: string[] = []
          const stay = [...order]
          let used = order.reduce((sum, { byteLength }) => sum + byteLength, 0)
          while (tenant.byteLength <= LIMIT && used + tenant.byteLength > LIMIT) {
            const victim = stay.find(({ held }) => !held)
            if (victim === undefined) break
            stay.splice(stay.indexOf(victim), 1)
            expected.push(victim.name)
            used -= victim.byteLength
          }
          left.length = 0
          const take = async () => memory.seat(tenant).allocate(tenant.byteLength, unconstrained)
          if (used + tenant.byteLength > LIMIT) expect(await codeOf(take)).toBe('ENOMEM')
          else tenant.pages = await take()
          expect(left).toEqual(expected)
          order = tenant.pages === undefined ? stay : [...stay, tenant]
        }
        const used = order.reduce((sum, { byteLength }) => sum + byteLength, 0)
        expect([memory.stats.used, source.taken]).toEqual([used, used])
        for (const each of tenants) expect(memory.has(each)).toBe(order.includes(each))
      }
    }),
  )
})

test('one that does not leave in time is passed over, and two who need room at once do not take it from each other', async () => {
  const left: string[] = []
  const memory = new VideoMemory(LIMIT, new Counted())
  const [stubborn, other, first, second] = ['stubborn', 'other', 'first', 'second'].map(
    (name) => new FakeTenant(name, 5, left),
  ) as [FakeTenant, FakeTenant, FakeTenant, FakeTenant]
  stubborn.refuses = true
  const take = async (tenant: FakeTenant) => {
    tenant.pages = await memory.seat(tenant).allocate(5, unconstrained)
    // In use from the moment that it has its pages.
    tenant.held = true
  }
  for (const tenant of [stubborn, other]) tenant.pages = await memory.seat(tenant).allocate(5, unconstrained)
  const both = await Promise.allSettled([take(first), take(second)])
  expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(left).toEqual(['other'])
})

test('pages are given back once, however often they are freed', () => {
  const memory = new VideoMemory(LIMIT, new Counted())
  const tenant = new FakeTenant('t', 4, [])
  const one = memory.allocateNow(tenant, 4, unconstrained)
  // A second set, while it moves within the memory.
  const two = memory.allocateNow(tenant, 4, unconstrained)
  one?.free()
  one?.free()
  expect([memory.stats.used, memory.has(tenant)]).toEqual([4, true])
  two?.free()
  expect([memory.stats.used, memory.has(tenant)]).toEqual([0, false])
})
