/* A virtio disk, if there is one: reads its beginning, and writes and reads back its end. */
#include "bytes.h"
#include "check.h"
#include "checks.h"
#include "memory.h"
#include "sha256.h"
#include "virtio_blk.h"

/* More than one cluster of any image. */
#define COUNT 0x18000u

static void read_beginning(uint8_t *buffer, uint32_t count)
{
	uint8_t digest[32];

	expect("status of reading", disk_request(DISK_READ, 0, buffer, count), 0);
	sha256(buffer, count, digest);
	note("%lu sectors, begins %02x%02x%02x%02x", disk_sectors(), digest[0], digest[1], digest[2], digest[3]);
}

static void write_end(uint8_t *buffer, uint8_t *copy, uint32_t count)
{
	uint64_t sector = disk_sectors() - count / SECTOR_SIZE;

	for (uint32_t i = 0; i < count; i++)
		buffer[i] = i * 7 + (i >> 8);
	memset(copy, 0, count);
	expect("status of writing", disk_request(DISK_WRITE, sector, buffer, count), 0);
	expect("status of flushing", disk_request(DISK_FLUSH, 0, 0, 0), 0);
	expect("status of reading back", disk_request(DISK_READ, sector, copy, count), 0);
	expect_true("what was written is there", !memcmp(buffer, copy, count));
}

void check_disk(void)
{
	uint32_t count = COUNT;
	uint8_t *buffer, *copy;
	unsigned before;

	if (!disk_init()) {
		skip("no virtio disk");
		return;
	}
	before = disk_interrupts();
	if (disk_sectors() < count / SECTOR_SIZE)
		count = disk_sectors() * SECTOR_SIZE;
	buffer = pages_alloc(COUNT / PAGE_SIZE, 1);
	copy = pages_alloc(COUNT / PAGE_SIZE, 1);
	read_beginning(buffer, count);
	expect_true("reading past the end fails", disk_request(DISK_READ, disk_sectors(), buffer, SECTOR_SIZE) != 0);
	if (!disk_is_read_only())
		write_end(buffer, copy, count);
	expect_true("interrupts came", disk_interrupts() > before);
	pages_free(buffer, COUNT / PAGE_SIZE);
	pages_free(copy, COUNT / PAGE_SIZE);
}
