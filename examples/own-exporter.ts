/** An exporter of one's own: buffers over memory that this program gets elsewhere, and gets back at the very end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Channel, DmaBuf, forkWithChannel } from 'dmabuf'

/** Stands for a camera driver, a codec, a library: it hands out sealed memory by descriptor and wants it back. */
async function camera(): Promise<{ fd: number; requeue(): void }> {
  const script = `
import fcntl, os
fd = os.memfd_create("camera", os.MFD_ALLOW_SEALING)
os.write(fd, bytes(range(256)) * 16)
fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
print(fd, flush=True)
input()`
  const python = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [number] = await once(createInterface(python.stdout), 'line')

  return { fd: openSync(`/proc/${python.pid}/fd/${number}`, 'r+'), requeue: () => python.stdin.end('\n') }
}

if (process.argv[2] !== 'viewer') {
  const { channel } = forkWithChannel(new URL(import.meta.url), ['viewer'])
  const { fd, requeue } = await camera()
  const released = new Promise<void>((resolve) => {
    const release = () => {
      console.log('exporter: nobody has it any more, the camera gets it back')
      requeue()
      resolve()
    }
    // The descriptor is the buffer's from here on.
    const frame = DmaBuf.export({
      exporterName: 'camera',
      name: 'frame',
      fd,
      byteLength: 4096,
      ops: { release },
    })
    void channel.send({ frame: 1 }, [frame])
    frame.close()
    console.log('exporter: sent and closed')
  })
  await channel.receive()
  console.log('exporter: the viewer has it')
  await channel.send('let go')
  await released
  await channel.close()
} else {
  await using channel = Channel.parent()
  const { buffers } = await channel.receive()
  await channel.send('got it')
  await channel.receive()
  for (const received of buffers) {
    using frame = received
    using cpu = frame.beginCpuAccessSync('read')
    console.log(`viewer: '${frame.name}' of '${frame.exporterName}' ends in ${cpu.bytes.at(-1)}`)
  }
}
