import type { Action, HolderPlan, Scenario } from './scenario.ts'

/** Registered, and with storage, from the beginning. */
const holds = (...actions: Action[]): HolderPlan => ({ actions })
/** Has only the handle. */
const comes = (...actions: Action[]): HolderPlan => ({ actions, registered: false })

/** Each is small, and together they have every pair of things that can happen at once. */
export const scenarios = {
  'one reader': { holders: [holds('read', 'read')], moves: 2 },
  'one writer': { holders: [holds('write', 'write', 'write')], moves: 2 },
  'a writer and a reader': { holders: [holds('write', 'write'), holds('read', 'read')], moves: 1 },
  'two writers': { holders: [holds('write', 'write'), holds('write', 'write')], moves: 1 },
  'nested brackets': { holders: [holds('nested', 'write'), holds('nested')], moves: 1 },
  'two moves': { holders: [holds('write', 'write'), holds('read')], moves: 2 },
  'three holders': { holders: [holds('write'), holds('write'), holds('read')], moves: 1 },
  'a holder that comes late': {
    holders: [holds('write'), comes('register', 'write', 'read')],
    moves: 1,
  },
  'a holder that comes late, and deaths': {
    holders: [holds('write'), comes('register', 'write')],
    moves: 1,
    mortal: [0, 1, 'exporter'],
  },
  'two that come late': {
    holders: [comes('register', 'write'), comes('register', 'read')],
    moves: 1,
  },
  'a holder that dies': { holders: [holds('write', 'write'), holds('write', 'read')], moves: 1, mortal: [0] },
  'both holders die': {
    holders: [holds('write', 'write'), holds('write')],
    moves: 1,
    mortal: [0, 1],
    kills: 2,
  },
  'the exporter dies': {
    holders: [holds('write', 'write'), holds('write', 'read')],
    moves: 1,
    mortal: ['exporter'],
  },
  'the exporter dies in its second move': {
    holders: [holds('write', 'write', 'read')],
    moves: 2,
    mortal: ['exporter'],
  },
  'a holder and the exporter die': {
    holders: [holds('write', 'write'), holds('read')],
    moves: 1,
    mortal: [0, 'exporter'],
    kills: 2,
  },
  'a move that is aborted and tried again': {
    holders: [holds('sit', 'write'), holds('write')],
    moves: 2,
    timeout: 'abort',
  },
  'an aborted move, and deaths': {
    holders: [holds('write', 'write', 'read')],
    moves: 2,
    timeout: 'abort',
    mortal: [0, 'exporter'],
  },
  'brackets that wait for each other': {
    holders: [holds('sit', 'write'), holds('sit')],
    moves: 1,
    timeout: 'abort',
    mortal: [0, 'exporter'],
  },
  'an eviction': { holders: [holds('sit', 'write'), holds('write')], moves: 1, timeout: 'evict' },
  'an eviction in a move that fails': {
    holders: [holds('write', 'write', 'read')],
    moves: 2,
    timeout: 'evict',
    copyFails: true,
  },
  'two evictions': { holders: [holds('sit', 'write'), holds('sit')], moves: 1, timeout: 'evict' },
  'evictions towards full sockets': {
    holders: [holds('write', 'write'), holds('sit')],
    moves: 1,
    timeout: 'evict',
    room: 2,
  },
  'an eviction, and deaths': {
    holders: [holds('write', 'read'), holds('read')],
    moves: 1,
    timeout: 'evict',
    mortal: [0, 'exporter'],
  },
  'the Sync twin': { holders: [holds('try', 'try'), holds('try', 'read')], moves: 1 },
  'the Sync twin, and deaths': { holders: [holds('try', 'try')], moves: 2, mortal: [0, 'exporter'] },
  'a buffer that is passed on': {
    holders: [holds('write', 'forward', 'write'), comes('receive', 'write')],
    moves: 1,
  },
  'a buffer that is passed on, and deaths': {
    holders: [holds('write', 'forward'), comes('receive', 'read')],
    moves: 1,
    mortal: [0, 'exporter'],
    kills: 2,
  },
  'storage on demand': {
    holders: [comes('register', 'write'), comes('register', 'read')],
    moves: 1,
    placed: false,
  },
  'storage on demand, and deaths': {
    holders: [comes('register', 'write', 'write')],
    moves: 2,
    placed: false,
    mortal: [0, 'exporter'],
  },
  'a holder that leaves': {
    holders: [holds('write', 'release'), holds('write')],
    moves: 1,
    mortal: ['exporter'],
  },
  'a full socket': { holders: [holds('write', 'write'), holds('read')], moves: 2, room: 2 },
  'a full socket, time-outs and deaths': {
    holders: [holds('write', 'read')],
    moves: 3,
    room: 2,
    timeout: 'abort',
    mortal: [0, 'exporter'],
  },
  'brackets of the exporter': {
    holders: [holds('write', 'write')],
    moves: 2,
    ownBrackets: 2,
    timeout: 'abort',
  },
} satisfies Record<string, Scenario>
