/** The consuming process of a pair: `consumer.ts PEER SETUP ADDRESS`, forked by the producing one. */
import { leaveCleanly } from './lib/leave.ts'
import { pinSelf } from './lib/pin.ts'
import { Sink } from './lib/sink.ts'
import { consumers } from './peers/index.ts'
import type { Setup } from './types.ts'

const [peer = '', setupJson = '', address = ''] = process.argv.slice(2)
const setup: Setup = JSON.parse(setupJson)

const consume = await consumers[peer]?.()
if (!consume) throw new Error(`no consumer for ${peer}`)
pinSelf(setup.cores.consumer)
leaveCleanly()
await consume(setup, new Sink(), address)
