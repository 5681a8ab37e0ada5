"""Allocates a real dma-buf from /dev/dma_heap/system and runs a command that inherits it as descriptor 3."""
import fcntl, os, struct, subprocess, sys

DMA_HEAP_IOCTL_ALLOC = 0xC0184800  # _IOWR('H', 0, struct dma_heap_allocation_data)

with open("/dev/dma_heap/system", "rb") as heap:
    data = struct.pack("QIIQ", int(sys.argv[1]), 0, os.O_RDWR | os.O_CLOEXEC, 0)
    fd = struct.unpack("QIIQ", fcntl.ioctl(heap, DMA_HEAP_IOCTL_ALLOC, data))[1]
os.dup2(fd, 3)
sys.exit(subprocess.run(sys.argv[2:], pass_fds=[3]).returncode)
