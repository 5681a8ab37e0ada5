import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { DmaBufError } from '../../src/index.ts'
import { checked, problem, systemError } from '../../src/internal/errors.ts'
import { codeNow } from '../support/fails.ts'

test('an error has the shape of a system error of Node', () => {
  const error = systemError(-constants.errno.ENOENT, 'open', 'opening a thing')
  expect(error).toBeInstanceOf(DmaBufError)
  expect(error).toBeInstanceOf(Error)
  expect(error.name).toBe('DmaBufError')
  expect([error.code, error.errno, error.syscall]).toEqual(['ENOENT', -2, 'open'])
  expect(error.message).toBe('ENOENT: opening a thing failed, open')
  expect(error.hint).toContain('error.syscall')
})

test('a fixed code finds its errno', () => {
  expect(problem('closedBuffer', { name: 'x' }).errno).toBe(-constants.errno.EBADF)
  expect(problem('budget', { bytes: 1, used: 2, budget: 3 }).errno).toBe(-122)
  expect(problem('interrupted', { name: 'x' }).errno).toBe(-130)
  expect(problem('inFlight', {}).errno).toBe(-109)
})

test('numbers that libuv does not know by name are named all the same', () => {
  expect(systemError(-122, 'x', 'y').code).toBe('EDQUOT')
  expect(systemError(-130, 'x', 'y').code).toBe('EOWNERDEAD')
  expect(systemError(-4000, 'x', 'y').code).toBe('errno 4000')
})

test('a full descriptor table says what to do', () => {
  const error = systemError(-constants.errno.EMFILE, 'dup', 'duplicating')
  expect([error.code, error.errno]).toEqual(['EMFILE', -constants.errno.EMFILE])
  expect(error.hint).toContain('ulimit -n')
})

test('an aborted call rejects with what programs ask for', () => {
  const reason = new Error('enough')
  const error = problem('aborted', { what: 'it' }, { cause: reason })
  expect([error.name, error.code, error.errno]).toEqual(['AbortError', 'ABORT_ERR', undefined])
  expect(error.cause).toBe(reason)
})

test('a cause is there only when there is one', () => {
  expect('cause' in problem('inFlight', {})).toBe(false)
  expect('cause' in problem('inFlight', {}, { cause: undefined })).toBe(true)
})

test('results pass, negative ones throw', () => {
  expect(checked(0, 'x', 'y')).toBe(0)
  expect(checked(7, 'x', 'y')).toBe(7)
  expect(codeNow(() => checked(-constants.errno.EPERM, 'x', 'y'))).toBe('EPERM')
})
