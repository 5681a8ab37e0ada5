// Where the loader looks for the binary of this machine.

// Asking for the network interfaces can take seconds where name service is slow.
process.report.excludeNetwork = true
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'

export const prebuild = new URL(
  `../prebuilds/${process.platform}-${process.arch}/dmabuf.${libc}.node`,
  import.meta.url,
)
