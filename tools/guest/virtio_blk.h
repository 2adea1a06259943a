/* A virtio disk with one request at a time; VIRTIO 1.2, 4.1 "Virtio Over PCI Bus", 5.2 "Block
   Device". */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#define SECTOR_SIZE 512u
#define DISK_MAX_BYTES 0x20000u

#define DISK_READ 0
#define DISK_WRITE 1
#define DISK_FLUSH 4

/* Takes hold of the disk; false if there is none. */
bool disk_init(void);
uint64_t disk_sectors(void);
bool disk_is_read_only(void);
/* Carries a request out, asleep until its interrupt comes; the status, 0 if all went well. */
uint8_t disk_request(uint32_t type, uint64_t sector, void *bytes, uint32_t count);
/* Interrupts that came. */
unsigned disk_interrupts(void);

#endif
