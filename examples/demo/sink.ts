import { connect, type DmaBuf } from 'dmabuf'
import { Output } from './lib/output.ts'
import { checksum, frameBytes } from './lib/picture.ts'
import { framesFrom, runStage, type SinkJob } from './lib/stage.ts'

/** Third process: looks at every frame, and writes the last one or all of them to a file. */
await runStage<SinkJob>(async (stage) => {
  const { film, ...job } = stage.job
  await using output = await Output.open(job.out, job.part, film)
  await using upstream = await connect({ abstract: job.connect })
  await stage.ready()

  // Encoders get private bytes only: others may still write to a shared buffer, by mistake or in malice.
  const copy = new Uint8Array(frameBytes(film))
  let last: DmaBuf | undefined
  for await (const { buffer } of framesFrom(upstream, film)) {
    stage.frameBegins()
    await buffer.withCpuAccess('read', (cpu) => {
      stage.counts.checksum = checksum(cpu.bytes, stage.counts.checksum)
      if (output.everyFrame) cpu.copy({ into: copy })
    })
    if (output.everyFrame) await output.write(copy)

    // The last frame is kept open, not copied, until we know that it was the last.
    last?.close()
    last = buffer
    stage.frameDone({ file: output.everyFrame ? copy.byteLength : 0 })
  }

  if (!last) return
  using final = last
  if (!output.everyFrame) {
    await final.withCpuAccess('read', (cpu) => cpu.copy({ into: copy }))
    await output.write(copy)
    stage.counts.file += copy.byteLength
  }
  await output.keep(job.out)
})
