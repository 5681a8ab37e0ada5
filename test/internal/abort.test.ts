import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { abortable, throwIfAborted } from '../../src/internal/abort.ts'
import { codeNow, failure } from '../support/fails.ts'

const never = () => () => {}

test('a signal that has fired already is refused without a start', async () => {
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  expect(codeNow(() => throwIfAborted(signal, 'it'))).toBe('ABORT_ERR')
  let started = false
  const error = await failure(() =>
    abortable(signal, 'it', () => {
      started = true
      return () => {}
    }),
  )
  expect([error.name, error.cause, started]).toEqual(['AbortError', reason, false])
})

test('an abort withdraws the waiter and rejects with the reason', async () => {
  const controller = new AbortController()
  let withdrawn = 0
  const waiting = abortable(controller.signal, 'it', () => () => {
    withdrawn++
  })
  controller.abort('because')
  const error = await failure(() => waiting)
  expect([error.code, error.cause, withdrawn]).toEqual(['ABORT_ERR', 'because', 1])
})

test('what settles takes its listener away, whenever it settles', async () => {
  const { signal } = new AbortController()
  await abortable(signal, 'it', (resolve) => {
    resolve(1)
    return () => {}
  })
  expect(getEventListeners(signal, 'abort')).toEqual([])
  let settle = (_: number) => {}
  const later = abortable<number>(signal, 'it', (resolve) => {
    settle = resolve
    return () => {}
  })
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  settle(2)
  expect(await later).toBe(2)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('without a signal there is nothing to abort', async () => {
  throwIfAborted(undefined, 'it')
  throwIfAborted(new AbortController().signal, 'it')
  expect(
    await abortable(undefined, 'it', (resolve) => {
      resolve('done')
      return never()
    }),
  ).toBe('done')
})
