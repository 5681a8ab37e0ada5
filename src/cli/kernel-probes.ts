import { existsSync } from 'node:fs'
import { READ_ONLY_SEALS, Seal, WRITABLE_SEALS } from '../memory/seals.ts'
import { addon } from '../native/load.ts'
import { Door } from '../share/door.ts'
import { Leash } from '../share/leash.ts'
import type { Finding } from './findings.ts'

/** F_SEAL_EXEC: a memfd made with MFD_NOEXEC_SEAL has it from birth. */
const SEAL_EXEC = 0x20

/** Tries each feature of the kernel once, with the calls that the library uses. */
export function probeKernel(): Finding[] {
  return [sealing(), futureWrite(), noexec(), proc(), leash(), door(), pidfd(), peerPidfd()]
}

function finding(what: string, works: boolean, means: string, required = false): Finding {
  return { what, state: works ? 'ok' : 'missing', found: works ? 'works' : 'does not work', means, required }
}

/** What a fresh memfd has for seals after these were added; negative errno where that fails. */
function sealsAfter(seals: number): number {
  const native = addon()
  const fd = native.memfdCreate('dmabuf-doctor', 0)
  if (fd < 0) return fd
  const allocated = native.allocate(fd, native.pageSize)
  const added = allocated < 0 || seals === 0 ? allocated : native.addSeals(fd, seals)
  const result = added < 0 ? added : native.getSeals(fd)
  native.close(fd)
  return result
}

function has(seals: number, wanted: number): boolean {
  return seals >= 0 && (seals & wanted) === wanted
}

function sealing(): Finding {
  const works = has(sealsAfter(WRITABLE_SEALS), WRITABLE_SEALS)
  return finding('memfd sealing', works, 'buffers are memfds whose size nobody can change (Linux 3.17)', true)
}

function futureWrite(): Finding {
  const works = has(sealsAfter(READ_ONLY_SEALS), Seal.futureWrite)
  return finding(
    'F_SEAL_FUTURE_WRITE',
    works,
    "sharing: 'read-only', and every message with a buffer (Linux 5.1)",
    true,
  )
}

function noexec(): Finding {
  return finding(
    'MFD_NOEXEC_SEAL',
    has(sealsAfter(0), SEAL_EXEC),
    'shared memory that can never be executed (Linux 6.3)',
  )
}

function proc(): Finding {
  return finding(
    '/proc',
    existsSync('/proc/self/fd'),
    'without it doors cannot be knocked at, and real dma-bufs not told',
  )
}

function leash(): Finding {
  const native = addon()
  const probe = new Leash()
  let works = false
  try {
    const first = probe.openWriteEnd()
    const second = probe.openWriteEnd()
    native.close(first)
    const held = !probe.hungUp
    native.close(second)
    works = held && probe.hungUp
  } catch {
    works = false
  }
  probe.close()
  return finding('leash', works, 'a pipe tells the exporter that the last holder has let go', true)
}

function door(): Finding {
  const opened = Door.open((fd) => addon().close(fd))
  opened?.close()
  const means =
    'a socket file made for a moment in XDG_RUNTIME_DIR, TMPDIR or /dev/shm; else each receiver gets a pair'
  return finding('door directory', opened !== undefined, means)
}

function pidfd(): Finding {
  const native = addon()
  const fd = native.pidfdOpen(process.pid)
  if (fd >= 0) native.close(fd)
  return finding(
    'pidfd',
    fd >= 0,
    'the death of a peer is seen although its socket lives on in a fork (Linux 5.3)',
  )
}

function peerPidfd(): Finding {
  const native = addon()
  let fd = -1
  if (native.socketPair() === 0) {
    const [one = -1, other = -1] = native.scratch.descriptors
    fd = native.peerPidfd(one)
    for (const end of [fd, one, other]) if (end >= 0) native.close(end)
  }
  return finding(
    'peer pidfd',
    fd >= 0,
    'who knocks is known beyond doubt: SO_PEERPIDFD (Linux 6.5), else by its pid',
  )
}
