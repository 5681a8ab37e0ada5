/**
 * Sends a frame to whoever comes, a program in any language: examples/plain-peer.py and plain-peer.c are two. It leaves before
 * it is drawn, with a fence to wait for. Gets its negative back, in memory that the peer made and gave away.
 */
import { bufinfo, listen, SyncFile, SystemHeap, Timeline } from 'dmabuf'

const [path = '/tmp/frames.sock'] = process.argv.slice(2)
const width = 320
const height = 240

await using server = await listen(path)
console.log(`listening on ${path}`)

await using channel = await server.accept()
console.log(`process ${channel.peer.pid} has come`)

using frame = await new SystemHeap().allocate(width * height, { name: 'frame', sharing: 'read-only' })
using drawing = new Timeline('drawing')
using drawn = SyncFile.from(drawing.createFence(), { name: 'frame' })
await channel.send({ width, height }, [frame], { fences: [drawn] })
frame.withCpuAccessSync('write', ({ bytes }) => {
  for (let at = 0; at < bytes.length; at++) bytes[at] = at % 251
})
drawing.signal(drawn.fence)
// The memory stays until the peer has let go of it as well.
frame.close()

const { message, buffers } = await channel.receive()
for (const buffer of buffers) {
  using answer = buffer
  using cpu = answer.beginCpuAccessSync('read')
  const { bytes, verified } = cpu.copy({ verified: true })
  const right = bytes.length === width * height && bytes.every((byte, at) => byte === 255 - (at % 251))
  console.log(`${JSON.stringify(message)}: '${answer.name}' is ${right ? 'right' : 'WRONG'}`)
  console.log(`nobody can change it any more: ${answer.frozen && verified}`)
}

const { reason } = await channel.closed
// A collected pipe end tells of the peer's last close in one of the next turns.
while (bufinfo().length > 0) await new Promise(setImmediate)
console.log(`the peer has gone (${reason}), and all memory is given back`)
