/** Memory of other programs, by its descriptor: a file in /dev/shm, and a memfd that a Python script made. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { DmaBuf } from 'dmabuf'

const show = (fd: number, trust: 'sealed' | 'unsealed') => {
  // The descriptor is borrowed: the buffer has one of its own.
  using buffer = DmaBuf.fromFd(fd, { trust, access: 'read' })
  using cpu = buffer.beginCpuAccessSync('read')
  console.log(`${buffer.byteLength} bytes: ${cpu.text('utf8', { length: 19 })}`)
}

// Whoever can open a file in /dev/shm can also truncate it, so it must be trusted explicitly. (A truncation is survived.)
const file = `/dev/shm/from-fd-${process.pid}`
writeFileSync(file, 'hello from /dev/shm')
const shared = openSync(file, 'r')
show(shared, 'unsealed')
closeSync(shared)
unlinkSync(file)

// A memfd that its maker sealed is as good as one's own. Another process's is opened through its /proc entry.
const script = `
import fcntl, os
fd = os.memfd_create("greeting", os.MFD_ALLOW_SEALING)
os.write(fd, b"hello from a python".ljust(4096))
fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
print(fd, flush=True)
input()`
const python = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
const [line] = await once(createInterface(python.stdout), 'line')
const sealed = openSync(`/proc/${python.pid}/fd/${line}`, 'r')
show(sealed, 'sealed')
closeSync(sealed)
python.stdin.end('\n')
