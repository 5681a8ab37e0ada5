import { setTimeout as sleep } from 'node:timers/promises'
import { listen, SystemHeap } from 'dmabuf'
import { openInput } from './lib/input.ts'
import { frameBytes } from './lib/picture.ts'
import { END, runStage, type SourceJob } from './lib/stage.ts'

const BUFFERS = 4

/** First process: draws (or decodes) every frame straight into a shared buffer and hands the buffer on. */
await runStage<SourceJob>(async (stage) => {
  const { job } = stage
  await using input = await openInput(job.file, job.size)
  const film = { ...input.film, frames: job.frames ?? input.film.frames }
  if (job.fps !== null) film.rate = [job.fps, 1]

  // Four buffers are all the memory this film takes: each comes back by itself when nobody holds it any more.
  await using pool = await new SystemHeap().pool({
    byteLength: frameBytes(film),
    buffers: BUFFERS,
    name: 'demo frame',
  })

  // Only processes of this user get in.
  await using server = await listen({ abstract: job.listen }, { allow: { uid: process.getuid!() } })
  await stage.ready(film)
  await using downstream = await server.accept()

  const start = performance.now()
  for (let frame = 0; frame !== film.frames && !stage.stop.aborted; frame++) {
    if (job.fps !== null) await sleep(Math.max(0, start + (frame * 1000) / job.fps - performance.now()))
    stage.frameBegins()
    const draw = await input.next(frame)
    if (!draw) break

    using buffer = await pool.acquire()
    await buffer.withCpuAccess('write', (cpu) => draw(cpu.bytes))
    await downstream.send(frame, [buffer])

    stage.frameDone({ file: input.fileBytes })
  }
  await downstream.send(END)
})
