import { SystemHeap } from '../../src/index.ts'

/** Touches a buffer outside its bracket, then sends itself a signal. Its guard is turned on from outside. */
const [, , name, how] = process.argv
const signal = name as NodeJS.Signals
const buffer = new SystemHeap().allocateSync(4096, { name: 'frame' })
const bytes = buffer.withCpuAccessSync('write', (cpu) => cpu.bytes)
bytes[0] = 1

setTimeout(() => {
  if (how !== undefined) {
    process.stdout.write(`${process.listenerCount(signal) === 1 ? 1 : 0} `)
    process.on(signal, function heard() {
      process.stdout.write(`heard ${process.listenerCount(signal)}\n`)
      if (how === 'own') process.exit(7)
      process.off(signal, heard)
      process.kill(process.pid, signal)
    })
  }
  process.kill(process.pid, signal)
  setTimeout(() => {}, 20_000)
}, 50)
