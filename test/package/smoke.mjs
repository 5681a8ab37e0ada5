// Shares a buffer between two processes through the public API alone. Runs from any project that has `dmabuf`
// installed, on any runtime: `node smoke.mjs`, `deno run -A smoke.mjs`.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Channel, SystemHeap } from 'dmabuf'

const BYTES = 1 << 20
const me = fileURLToPath(import.meta.url)

if (process.argv[2] === 'child') await child()
else await parent()

async function parent() {
  const heap = new SystemHeap()
  const buffer = await heap.allocate(BYTES, { name: 'smoke' })
  await buffer.withCpuAccess('write', ({ bytes }) =>
    bytes.forEach((_, i) => {
      bytes[i] = i * 7
    }),
  )

  const [channel, theirs] = Channel.pair()
  const other = spawn(process.execPath, [...runtimeArguments(), me, 'child'], {
    stdio: ['ignore', 'inherit', 'inherit', theirs.fd],
  })
  theirs.close()
  const exit = new Promise((resolve) => other.on('exit', (code, signal) => resolve(code ?? signal)))

  await channel.send({ please: 'add' }, [buffer])
  const { message } = await channel.receive()
  assert(message.sum === expectedSum(), `the child read ${message.sum} and not ${expectedSum()}`)
  await buffer.withCpuAccess('read', ({ bytes }) => {
    assert(bytes[0] === 255, 'what the child wrote shows here')
  })
  await channel.close()
  buffer.close()
  const code = await exit
  assert(code === 0, `the child ended with ${code}`)
  console.log(`ok: ${BYTES} bytes shared with process ${other.pid}`)
}

async function child() {
  const channel = Channel.fromFd(3)
  const { buffers } = await channel.receive()
  const [buffer] = buffers
  const sum = await buffer.withCpuAccess('read-write', ({ bytes }) => {
    const total = bytes.reduce((a, b) => a + b, 0)
    bytes[0] = 255
    return total
  })
  buffer.close()
  await channel.send({ sum })
  await channel.close()
}

function expectedSum() {
  let sum = 0
  for (let i = 0; i < BYTES; i++) sum += (i * 7) & 0xff
  return sum
}

function runtimeArguments() {
  return process.versions.deno === undefined ? process.execArgv : ['run', '-A']
}

function assert(condition, message) {
  if (!condition) throw new Error(message)
}
