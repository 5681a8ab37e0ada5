import { connect, listen, SystemHeap } from 'dmabuf'
import { applyLens } from './lib/lens.ts'
import { frameBytes } from './lib/picture.ts'
import { END, type FilterJob, framesFrom, runStage } from './lib/stage.ts'

const BUFFERS = 4

/** Second process: changes each frame where it lies, or into a buffer of its own, and hands it on. */
await runStage<FilterJob>(async (stage) => {
  const { film, secondBuffer, ...job } = stage.job
  await using pool = secondBuffer
    ? await new SystemHeap().pool({ byteLength: frameBytes(film), buffers: BUFFERS, name: 'demo filtered' })
    : null

  await using upstream = await connect({ abstract: job.connect })
  await using server = await listen({ abstract: job.listen }, { allow: { uid: process.getuid!() } })
  await stage.ready()
  await using downstream = await server.accept()

  for await (const { buffer, frame } of framesFrom(upstream, film)) {
    stage.frameBegins()
    using arrived = buffer
    let copied: number
    if (pool) {
      using filtered = await pool.acquire()
      copied = await arrived.withCpuAccess('read', (from) =>
        filtered.withCpuAccess('write', (to) => applyLens(from.bytes, to.bytes, film, frame)),
      )
      await downstream.send(frame, [filtered])
    } else {
      copied = await arrived.withCpuAccess('read-write', ({ bytes }) => applyLens(bytes, bytes, film, frame))
      await downstream.send(frame, [arrived])
    }
    stage.frameDone({ copied })
  }
  await downstream.send(END)
})
