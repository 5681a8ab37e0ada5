import { admitSegment } from '../memory/gate.ts'
import { Meta } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import { type Fence, signalledFence } from './fence.ts'
import { type ReceivedFence, RemoteFence } from './remote-fence.ts'
import { RemotePage } from './remote-page.ts'
import { contextWords, timelinePages } from './timeline-page.ts'
import { readFence, TIMELINE_PAGE_BYTES, TIMELINE_SLOTS } from './timeline-words.ts'

/** The user id of a socket that is none of AF_UNIX. */
const NOBODY = -1

/**
 * A pending fence that came with a page and an end. Consumes both descriptors, whatever comes of it. Returns the fence (of
 * this environment itself, when it came back), or what is wrong with it.
 */
export function receiveFence(place: ReceivedFence, pageFd: number, end: number): Fence | string {
  const native = addon()
  const refuse = (reason: string) => {
    native.closeLater([pageFd, end])
    return reason
  }
  if (place.slot >= TIMELINE_SLOTS) return refuse(`timeline ${place.slot} of a page with ${TIMELINE_SLOTS}`)
  const facts = admitSegment(pageFd, TIMELINE_PAGE_BYTES)
  if (typeof facts === 'string') return refuse(facts)
  // Only a socket has a peer: nothing else is watched, and no server is asked what it is.
  if (native.peerCredentials(end) < 0 || native.scratch.meta[Meta.uid] === NOBODY) {
    return refuse('the end of a fence is no local socket')
  }
  const own = timelinePages.find(facts)
  if (own !== undefined) {
    native.close(pageFd)
    native.close(end)
    const core = timelinePages.timeline(own, place.slot)
    const { contextLow, contextHigh } = contextWords(core?.context ?? 0)
    const same = core !== undefined && contextLow === place.contextLow && contextHigh === place.contextHigh
    const pending = same ? core.find(place.seqno) : undefined
    if (pending !== undefined) return pending
    const reached = readFence(own.words, place)
    return reached === undefined
      ? 'a fence that was never made here'
      : signalledFence(reached.timestamp ?? 0n, reached.error)
  }
  let page: RemotePage | string
  try {
    page = RemotePage.open(pageFd, facts, end)
  } catch (error) {
    native.closeLater([pageFd, end])
    throw error
  }
  if (typeof page === 'string') return refuse(page)
  return RemoteFence.receive(page, place, end)
}
