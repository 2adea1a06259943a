#include "virtio_blk.h"

#include "apic.h"
#include "bytes.h"
#include "check.h"
#include "cpu.h"
#include "interrupts.h"
#include "memory.h"
#include "pci.h"

#define VENDOR 0x1af4
#define DEVICE 0x1042

/* 4.1.4 "Virtio Structure PCI Capabilities" */
#define CFG_TYPE 3
#define CFG_BAR 4
#define CFG_OFFSET 8
#define CFG_NOTIFY_MULTIPLIER 16
#define TYPE_COMMON 1
#define TYPE_NOTIFY 2
#define TYPE_DEVICE 4

/* 2.1 "Device Status Field" */
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8

/* 6 "Reserved Feature Bits", 5.2.3 "Feature bits" */
#define FEATURE_VERSION_1 0 /* of the second word */
#define FEATURE_RO 5
#define FEATURE_FLUSH 9

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define NO_VECTOR 0xffff
#define QUEUE_SIZE 4
#define BARS 6

#define MSIX_ENABLE (1u << 31)
#define MESSAGE_ADDRESS 0xfee00000

/* 4.1.4.3 "Common configuration structure layout" */
struct common {
	uint32_t device_feature_select;
	uint32_t device_feature;
	uint32_t driver_feature_select;
	uint32_t driver_feature;
	uint16_t config_msix_vector;
	uint16_t num_queues;
	uint8_t device_status;
	uint8_t config_generation;
	uint16_t queue_select;
	uint16_t queue_size;
	uint16_t queue_msix_vector;
	uint16_t queue_enable;
	uint16_t queue_notify_off;
	uint32_t queue_desc[2];
	uint32_t queue_driver[2];
	uint32_t queue_device[2];
};

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

/* 2.7 "Split Virtqueues" */
struct queue {
	struct descriptor descriptors[QUEUE_SIZE];
	struct {
		uint16_t flags, index, ring[QUEUE_SIZE];
	} available;
	struct {
		uint16_t flags, index;
		struct {
			uint32_t id, length;
		} ring[QUEUE_SIZE];
	} used __attribute__((aligned(4)));
};

/* 5.2.6 "Device Operation" */
struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static unsigned slot;
static volatile void *bars[BARS];
static volatile struct common *common;
static volatile uint16_t *notify;
static volatile uint32_t *capacity;
static volatile struct queue *queue;
static struct header header;
static volatile uint8_t status;
static volatile unsigned interrupts;
static bool read_only, has_flush;

static volatile void *bar(unsigned index)
{
	if (!bars[index])
		bars[index] = pci_map_bar(slot, index);
	return bars[index];
}

/* The structure of that type; `at` is where its capability lies. */
static volatile void *find_structure(uint8_t type, unsigned *at)
{
	for (*at = 0; (*at = pci_capability(slot, PCI_CAPABILITY_VENDOR, *at));)
		if (pci_read_byte(slot, *at + CFG_TYPE) == type)
			return (volatile uint8_t *)bar(pci_read_byte(slot, *at + CFG_BAR)) +
			       pci_read(slot, *at + CFG_OFFSET);
	die("the disk has no structure %u", type);
}

static struct interrupt_frame *on_disk(struct interrupt_frame *frame)
{
	interrupts++;
	apic_end();
	return frame;
}

/* PCI 3.0, 6.8.2 "MSI-X Capability and Table Structures" */
static void init_msix(void)
{
	unsigned at = pci_capability(slot, PCI_CAPABILITY_MSIX, 0);
	uint32_t place = at ? pci_read(slot, at + 4) : 0;
	volatile uint32_t *entry;

	if (!at)
		die("the disk has no MSI-X");
	entry = (volatile uint32_t *)((volatile uint8_t *)bar(place & 7) + (place & ~7u));
	interrupts_handle(VECTOR_DISK, on_disk);
	entry[0] = MESSAGE_ADDRESS | apic_id() << 12;
	entry[1] = 0;
	entry[2] = VECTOR_DISK;
	entry[3] = 0;
	pci_write(slot, at, pci_read(slot, at) | MSIX_ENABLE);
}

static void negotiate(void)
{
	uint32_t offered;

	common->device_status = 0;
	while (common->device_status)
		pause();
	common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	common->device_feature_select = 0;
	offered = common->device_feature;
	read_only = offered >> FEATURE_RO & 1;
	has_flush = offered >> FEATURE_FLUSH & 1;
	common->driver_feature_select = 0;
	common->driver_feature = offered & (1u << FEATURE_RO | 1u << FEATURE_FLUSH);
	common->driver_feature_select = 1;
	common->driver_feature = 1u << FEATURE_VERSION_1;
	common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
	if (!(common->device_status & STATUS_FEATURES_OK))
		die("the disk refuses its own features");
}

static void set_address(volatile uint32_t field[2], volatile void *address)
{
	field[0] = (uint64_t)address;
	field[1] = (uint64_t)address >> 32;
}

static void init_queue(void)
{
	queue = page_alloc();
	memset((void *)queue, 0, PAGE_SIZE);
	common->config_msix_vector = NO_VECTOR;
	common->queue_select = 0;
	common->queue_size = QUEUE_SIZE;
	common->queue_msix_vector = 0;
	set_address(common->queue_desc, queue->descriptors);
	set_address(common->queue_driver, &queue->available);
	set_address(common->queue_device, &queue->used);
	common->queue_enable = 1;
}

bool disk_init(void)
{
	unsigned at;

	if (!pci_find(VENDOR, DEVICE, &slot))
		return false;
	common = find_structure(TYPE_COMMON, &at);
	capacity = find_structure(TYPE_DEVICE, &at);
	notify = find_structure(TYPE_NOTIFY, &at);
	init_msix();
	negotiate();
	init_queue();
	notify += common->queue_notify_off * pci_read(slot, at + CFG_NOTIFY_MULTIPLIER) / sizeof *notify;
	common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK;
	return true;
}

uint64_t disk_sectors(void)
{
	return capacity[0] | (uint64_t)capacity[1] << 32;
}

bool disk_is_read_only(void)
{
	return read_only;
}

unsigned disk_interrupts(void)
{
	return interrupts;
}

static void describe(unsigned index, volatile void *bytes, uint32_t count, uint16_t flags)
{
	queue->descriptors[index].address = (uint64_t)bytes;
	queue->descriptors[index].length = count;
	queue->descriptors[index].flags = flags;
	queue->descriptors[index].next = index + 1;
}

uint8_t disk_request(uint32_t type, uint64_t sector, void *bytes, uint32_t count)
{
	uint16_t index = queue->available.index;
	unsigned last = 1;
	uint64_t flags;

	if (type == DISK_FLUSH && !has_flush)
		return 0;
	header = (struct header){ type, 0, sector };
	status = 0xff;
	describe(0, &header, sizeof header, DESCRIPTOR_NEXT);
	if (count)
		describe(last++, bytes, count, DESCRIPTOR_NEXT | (type == DISK_READ ? DESCRIPTOR_WRITE : 0));
	describe(last, &status, sizeof status, DESCRIPTOR_WRITE);
	queue->available.ring[index % QUEUE_SIZE] = 0;
	__asm__ volatile("" : : : "memory");
	queue->available.index = index + 1;
	*notify = 0;
	flags = interrupts_off();
	while (queue->used.index != (uint16_t)(index + 1))
		wait_for_interrupt();
	write_flags(flags);
	return status;
}
