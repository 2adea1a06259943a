/* QEMU's isa-debug-exit device: a write of v ends the emulator with status 2 v + 1. */
#ifndef DEBUG_EXIT_H
#define DEBUG_EXIT_H

#define DEBUG_EXIT_PORT 0x501

#endif
