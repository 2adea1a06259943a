#include "acpi.h"

#include "bytes.h"

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[22];
	uint32_t creator_revision;
} __attribute__((packed));

/* ACPI 6.4, table 5.9 "FADT Format": the offsets used here. */
#define FADT_DSDT 40
#define FADT_SMI_COMMAND 48
#define FADT_ACPI_ENABLE 52
#define FADT_PM1A_CONTROL 64
#define FADT_PM1B_CONTROL 68
#define FADT_PM_TIMER 76
#define HPET_ADDRESS 44

/* ACPI 6.4, table 5.21 "Interrupt Controller Structure Types". */
#define MADT_ENTRIES 44
#define MADT_LOCAL_APIC 0
#define MADT_IO_APIC 1
#define MADT_OVERRIDE 2
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED 1

struct acpi acpi;

static uint32_t read32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof value);
	return value;
}

static uint64_t read64(const uint8_t *bytes)
{
	return read32(bytes) | (uint64_t)read32(bytes + 4) << 32;
}

static bool sums_to_zero(const uint8_t *bytes, uint32_t length)
{
	uint8_t sum = 0;

	while (length--)
		sum += *bytes++;
	return sum == 0;
}

/* ACPI 6.4, 5.2.5.1 "Finding the RSDP on IA-PC Systems"; the tables proper may lie anywhere. */
static const struct rsdp *find_rsdp(void)
{
	for (uint64_t address = 0xe0000; address < 0x100000; address += 16)
		if (!memcmp((const void *)address, "RSD PTR ", 8) && sums_to_zero((const uint8_t *)address, 20))
			return (const struct rsdp *)address;
	return 0;
}

static void add_cpu(uint32_t apic_id)
{
	if (acpi.cpus < ACPI_MAX_CPUS)
		acpi.apic_ids[acpi.cpus++] = apic_id;
}

static void read_madt_entry(const uint8_t *entry)
{
	switch (entry[0]) {
	case MADT_LOCAL_APIC:
		if (read32(entry + 4) & MADT_ENABLED)
			add_cpu(entry[3]);
		break;
	case MADT_LOCAL_X2APIC:
		if (read32(entry + 8) & MADT_ENABLED)
			add_cpu(read32(entry + 4));
		break;
	case MADT_IO_APIC:
		if (!acpi.ioapic) {
			acpi.ioapic = read32(entry + 4);
			acpi.ioapic_base = read32(entry + 8);
		}
		break;
	case MADT_OVERRIDE:
		if (entry[3] == 0)
			acpi.timer_gsi = read32(entry + 4);
		break;
	}
}

static void read_madt(const uint8_t *table, uint32_t length)
{
	acpi.local_apic = read32(table + 36);
	for (uint32_t at = MADT_ENTRIES; at + 2 <= length && table[at + 1] >= 2; at += table[at + 1])
		read_madt_entry(table + at);
}

/* A small integer in AML; ACPI 6.4, 20.2.3 "Data Objects Encoding": ZeroOp, OneOp, BytePrefix. */
static const uint8_t *read_aml_byte(const uint8_t *aml, uint8_t *value)
{
	if (*aml == 0x0a)
		aml++;
	*value = *aml;
	return aml + 1;
}

/* Looks for Name (_S5, Package () { a, b, ... }) without interpreting AML: the name, PackageOp,
   PkgLength (its top two bits count further bytes), the number of elements, the elements. */
static void read_dsdt(const uint8_t *dsdt)
{
	uint32_t length = read32(dsdt + 4);

	for (uint32_t at = sizeof(struct header); at + 12 < length; at++) {
		const uint8_t *aml = dsdt + at;

		if (memcmp(aml, "_S5_\x12", 5))
			continue;
		aml += 5;
		aml += 1 + (*aml >> 6) + 1;
		aml = read_aml_byte(aml, &acpi.s5_a);
		read_aml_byte(aml, &acpi.s5_b);
		acpi.has_s5 = true;
		return;
	}
}

static void read_fadt(const uint8_t *table)
{
	acpi.smi_command = read32(table + FADT_SMI_COMMAND);
	acpi.acpi_enable = table[FADT_ACPI_ENABLE];
	acpi.pm1a_control = read32(table + FADT_PM1A_CONTROL);
	acpi.pm1b_control = read32(table + FADT_PM1B_CONTROL);
	acpi.pm_timer = read32(table + FADT_PM_TIMER);
	read_dsdt((const uint8_t *)(uint64_t)read32(table + FADT_DSDT));
}

static void name_table(const struct header *header)
{
	static unsigned length;

	if (length + 6 > sizeof acpi.tables)
		return;
	if (length)
		acpi.tables[length++] = ' ';
	memcpy(acpi.tables + length, header->signature, 4);
	length += 4;
}

static void read_table(const struct header *header)
{
	const uint8_t *table = (const uint8_t *)header;

	if (!sums_to_zero(table, header->length))
		return;
	name_table(header);
	if (!memcmp(header->signature, "APIC", 4))
		read_madt(table, header->length);
	else if (!memcmp(header->signature, "FACP", 4))
		read_fadt(table);
	else if (!memcmp(header->signature, "HPET", 4))
		acpi.hpet = read64(table + HPET_ADDRESS);
}

static void read_root(const struct header *root, unsigned entry_size)
{
	const uint8_t *entries = (const uint8_t *)(root + 1);
	uint32_t count = (root->length - sizeof *root) / entry_size;

	if (!sums_to_zero((const uint8_t *)root, root->length))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = entries + i * entry_size;
		uint64_t address = entry_size == 8 ? read64(entry) : read32(entry);

		if (address < 1ul << 32)
			read_table((const struct header *)address);
	}
}

void acpi_init(void)
{
	const struct rsdp *rsdp = find_rsdp();

	if (!rsdp)
		return;
	acpi.found = true;
	acpi.revision = rsdp->revision;
	if (rsdp->revision >= 2 && rsdp->xsdt && rsdp->xsdt < 1ul << 32)
		read_root((const struct header *)rsdp->xsdt, 8);
	else
		read_root((const struct header *)(uint64_t)rsdp->rsdt, 4);
}
