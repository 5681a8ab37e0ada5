// libstdc++ built on glibc 2.32 or newer asks this variable of the C library whether atomic counters can be
// spared. Older systems lack it and would refuse to load the addon. Our own says that there are threads.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;
