import { SyncFile, Timeline } from '../../src/index.ts'
import { handleOf } from '../../src/sync/fence.ts'
import { hangups } from '../../src/sync/hangup-watch.ts'
import { warmSharing } from './warm-sharing.ts'

/** Makes what an environment keeps once a fence has left it (its page of timelines, watches): `beforeAll(warmFences)`. */
export async function warmFences(): Promise<void> {
  await warmSharing()
  hangups.open()
  using timeline = new Timeline()
  using file = SyncFile.from(timeline.createFence())
  handleOf(file.fence)
}
