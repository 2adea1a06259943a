//! The Differentiated System Description Table: devices, their resources, and the routing of PCI interrupts.

use super::Description;
use super::tables::{OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::pci::ich9_lpc::PM_BASE;
use crate::pci::{ECAM_BASE, ECAM_SIZE, interrupt_gsi};
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, And, Arg, CreateDWordField, Device, EISAName, Else, Equal, Field,
    FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule, IO, If, LessThan, Local, Memory32Fixed, Method, Name,
    NotEqual, ONE, OpRegion, OpRegionSpace, Or, Package, PackageBuilder, Path, ResourceTemplate, Return, Scope, Store,
    Uuid, ZERO,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};

/// Size of the window for 64-bit base addresses, as on QEMU's q35.
const HIGH_WINDOW: u64 = 32 << 30;
/// The memory window above ECAM ends where the I/O APIC begins.
const LOW_WINDOW_END: u32 = 0xfebf_ffff;
/// _OSC: what the operating system may control: hot-plug, SHPC hot-plug, PME, AER, the PCI Express capability.
const OSC_GRANTED: u8 = 0x1f;
/// Serial ports: first port, interrupt.
const SERIAL: [(u16, u8); 4] = [(0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)];

/// Terms that are encoded already.
struct Code(Vec<u8>);

impl Aml for Code {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

/// IRQ Descriptor without flags: an ISA interrupt (ACPI 6.5, 6.4.2.1).
struct Irq(u8);

impl Aml for Irq {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.byte(0x22);
        sink.word(1 << self.0);
    }
}

/// Extended Interrupt Descriptor: level-triggered, active high, shared (ACPI 6.5, 6.4.3.6).
struct Interrupts<'a>(&'a [u32]);

impl Aml for Interrupts<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.byte(0x89);
        sink.word(2 + 4 * self.0.len() as u16);
        sink.byte(0b1001);
        sink.byte(self.0.len() as u8);
        for &number in self.0 {
            sink.dword(number);
        }
    }
}

fn code(term: &dyn Aml) -> Code {
    let mut bytes = Vec::new();
    term.to_aml_bytes(&mut bytes);
    Code(bytes)
}

fn terms(code: &[Code]) -> Vec<&dyn Aml> {
    code.iter().map(|term| term as &dyn Aml).collect()
}

fn path(name: &str) -> Path {
    Path::new(name)
}

fn device(name: &str, content: &[Code]) -> Code {
    code(&Device::new(path(name), terms(content)))
}

fn name(name: &str, value: &dyn Aml) -> Code {
    code(&Name::new(path(name), value))
}

fn method(name: &str, arguments: u8, body: &[Code]) -> Code {
    code(&Method::new(path(name), arguments, true, terms(body)))
}

fn resources(object: &str, list: &[&dyn Aml]) -> Code {
    name(object, &ResourceTemplate::new(list.to_vec()))
}

fn hid(id: &str) -> Code {
    name("_HID", &EISAName::new(id))
}

fn io(base: u16, bytes: u8) -> IO {
    IO::new(base, base, 1, bytes)
}

/// The table for the board that `description` describes.
pub(super) fn dsdt(description: &Description) -> Sdt {
    let mut board = vec![root_bridge(description), hpet(), motherboard()];
    board.extend((0..8).map(isa_link));
    board.extend((0..8).map(gsi_link));
    board.extend((0..description.cpus).map(processor));
    let off = Package::new(vec![&7u8, &7u8, &ZERO, &ZERO]);
    let table = [
        name("PICF", &ZERO),
        method("_PIC", 1, &[code(&Store::new(&path("PICF"), &Arg(0)))]),
        code(&Scope::new(path("_SB_"), terms(&board))),
        name("_S5_", &off),
    ];
    let mut dsdt = Sdt::new(*b"DSDT", 36, 2, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    let bytes: Vec<u8> = table.iter().flat_map(|term| term.0.iter().copied()).collect();
    dsdt.append_slice(&bytes);
    dsdt
}

fn root_bridge(description: &Description) -> Code {
    device(
        "PCI0",
        &[
            hid("PNP0A08"),
            name("_CID", &EISAName::new("PNP0A03")),
            name("_UID", &ZERO),
            name("_SEG", &ZERO),
            name("_BBN", &ZERO),
            windows(description),
            osc(),
            name("PRTP", &routing(|gsi| link("LNK", gsi - 16))),
            name("PRTA", &routing(|gsi| link("GSI", gsi - 16))),
            prt(),
            isa_bridge(description),
            fw_cfg(),
        ],
    )
}

/// What the root bridge passes on. Ports and memory that no RAM, ECAM or chipset register takes up.
fn windows(description: &Description) -> Code {
    let memory = |first: u32, last: u32| {
        code(&AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, first, last, None))
    };
    let high = ((1 << 32) + description.high_ram).next_multiple_of(1 << 30);
    let mut list = vec![
        code(&AddressSpace::new_bus_number(0u16, 255)),
        code(&io(0xcf8, 8)),
        code(&AddressSpace::new_io(0u16, 0xcf7, None)),
        code(&AddressSpace::new_io(0xd00u16, 0xffff, None)),
        memory(0xa_0000, 0xb_ffff),
    ];
    if description.low_ram < ECAM_BASE {
        list.push(memory(description.low_ram as u32, ECAM_BASE as u32 - 1));
    }
    list.push(memory((ECAM_BASE + ECAM_SIZE) as u32, LOW_WINDOW_END));
    let cacheable = AddressSpaceCacheable::Cacheable;
    list.push(code(&AddressSpace::new_memory(cacheable, true, high, high + HIGH_WINDOW - 1, None)));
    resources("_CRS", &terms(&list))
}

/// _OSC (ACPI 6.5, 6.2.11; PCI Firmware Specification 3.2, 4.5.1).
fn osc() -> Code {
    let (status, control) = (path("CDW1"), path("CDW3"));
    let negotiate = [
        code(&CreateDWordField::new(&control, &Arg(3), &8u8)),
        code(&And::new(&Local(0), &control, &OSC_GRANTED)),
        code(&If::new(&NotEqual::new(&Arg(1), &ONE), vec![&Or::new(&status, &status, &8u8)])),
        code(&If::new(&NotEqual::new(&control, &Local(0)), vec![&Or::new(&status, &status, &0x10u8)])),
        code(&Store::new(&control, &Local(0))),
    ];
    let bridge = Uuid::new("33DB4D5B-1FF7-401C-9657-7441C03DD766");
    let body = [
        code(&CreateDWordField::new(&status, &Arg(3), &ZERO)),
        code(&If::new(&Equal::new(&Arg(0), &bridge), terms(&negotiate))),
        code(&Else::new(vec![&Or::new(&status, &status, &4u8)])),
        code(&Return::new(&Arg(3))),
    ];
    method("_OSC", 4, &body)
}

/// The name of interrupt link 0 to 7 of a family.
fn link(family: &str, number: u8) -> Path {
    path(&format!("{family}{}", char::from(b'A' + number)))
}

/// Which link each pin of each slot of bus 0 is connected to (ACPI 6.5, 6.2.13 _PRT).
fn routing(link_of: impl Fn(u8) -> Path) -> PackageBuilder {
    let mut table = PackageBuilder::new();
    for slot in 0..32u8 {
        for pin in 0..4u8 {
            let address = u32::from(slot) << 16 | 0xffff;
            table.add_element(&Package::new(vec![&address, &pin, &link_of(interrupt_gsi(slot, pin)), &ZERO]));
        }
    }
    table
}

fn prt() -> Code {
    let by_8259 = code(&Equal::new(&path("PICF"), &ZERO));
    let body = [code(&If::new(&by_8259, vec![&Return::new(&path("PRTP"))])), code(&Return::new(&path("PRTA")))];
    method("_PRT", 0, &body)
}

/// The south bridge, with the routing registers and the devices behind it.
fn isa_bridge(description: &Description) -> Code {
    let route = |letter: u8| FieldEntry::Named([b'P', b'R', b'Q', letter], 8);
    let mut fields: Vec<_> = (b'A'..=b'D').map(route).collect();
    fields.push(FieldEntry::Reserved(32));
    fields.extend((b'E'..=b'H').map(route));
    let (access, lock, update) = (FieldAccessType::Byte, FieldLockRule::NoLock, FieldUpdateRule::Preserve);
    let mut content = vec![
        name("_ADR", &0x001f_0000u32),
        code(&OpRegion::new(path("PIRQ"), OpRegionSpace::PCIConfig, &0x60u8, &12u8)),
        code(&Field::new(path("PIRQ"), access, lock, update, fields)),
        isa_device("KBD_", "PNP0303", &[&io(0x60, 1), &io(0x64, 1), &Irq(1)]),
        isa_device("MOU_", "PNP0F13", &[&Irq(12)]),
        isa_device("RTC_", "PNP0B00", &[&io(0x70, 4), &Irq(8)]),
    ];
    content.extend((0..4).filter(|&number| description.serial[number]).map(serial));
    content.extend(description.pvpanic.map(pvpanic));
    device("ISA_", &content)
}

fn isa_device(object: &str, id: &str, list: &[&dyn Aml]) -> Code {
    device(object, &[hid(id), name("_STA", &0xfu8), resources("_CRS", list)])
}

fn serial(number: usize) -> Code {
    let (base, irq) = SERIAL[number];
    let uid = number as u8 + 1;
    let content =
        [hid("PNP0501"), name("_UID", &uid), name("_STA", &0xfu8), resources("_CRS", &[&io(base, 8), &Irq(irq)])];
    device(&format!("COM{uid}"), &content)
}

fn pvpanic(port: u16) -> Code {
    let content = [name("_HID", &"QEMU0001"), name("_STA", &0xfu8), resources("_CRS", &[&io(port, 1)])];
    device("PEVT", &content)
}

fn fw_cfg() -> Code {
    let content = [name("_HID", &"QEMU0002"), name("_STA", &0xbu8), resources("_CRS", &[&io(0x510, 12)])];
    device("FWCF", &content)
}

fn hpet() -> Code {
    let registers = Memory32Fixed::new(false, 0xfed0_0000, 0x400);
    device("HPET", &[hid("PNP0103"), name("_UID", &ZERO), resources("_CRS", &[&registers])])
}

/// What belongs to no device but must not be given to one: ECAM, the power management registers.
fn motherboard() -> Code {
    let ecam = Memory32Fixed::new(true, ECAM_BASE as u32, ECAM_SIZE as u32);
    let list: [&dyn Aml; 3] = [&ecam, &io(PM_BASE, 0x80), &io(0xb2, 2)];
    device("MRES", &[hid("PNP0C02"), name("_UID", &ZERO), resources("_CRS", &list)])
}

/// The link of a PCI interrupt to an ISA one, by its routing register; for systems that use the 8259s.
fn isa_link(number: u8) -> Code {
    let letter = char::from(b'A' + number);
    let route = path(&format!("\\_SB_.PCI0.ISA_.PRQ{letter}"));
    let current = [
        resources("PRR0", &[&Interrupts(&[0])]),
        code(&CreateDWordField::new(&path("PRRI"), &path("PRR0"), &5u8)),
        code(&If::new(&LessThan::new(&route, &0x80u8), vec![&Store::new(&path("PRRI"), &route)])),
        code(&Return::new(&path("PRR0"))),
    ];
    let set = [code(&CreateDWordField::new(&path("PRRI"), &Arg(0), &5u8)), code(&Store::new(&route, &path("PRRI")))];
    let status =
        [code(&If::new(&LessThan::new(&route, &0x80u8), vec![&Return::new(&0xbu8)])), code(&Return::new(&0x9u8))];
    let content = [
        hid("PNP0C0F"),
        name("_UID", &number),
        resources("_PRS", &[&Interrupts(&[5, 10, 11])]),
        method("_STA", 0, &status),
        method("_DIS", 0, &[code(&Or::new(&route, &route, &0x80u8))]),
        method("_CRS", 0, &current),
        method("_SRS", 1, &set),
    ];
    device(&format!("LNK{letter}"), &content)
}

/// The fixed link of a PCI interrupt to an input of the I/O APIC.
fn gsi_link(number: u8) -> Code {
    let gsi = [16 + u32::from(number)];
    let content = [
        hid("PNP0C0F"),
        name("_UID", &(16 + number)),
        resources("_PRS", &[&Interrupts(&gsi)]),
        resources("_CRS", &[&Interrupts(&gsi)]),
        method("_DIS", 0, &[]),
        method("_SRS", 1, &[]),
    ];
    device(&format!("GSI{}", char::from(b'A' + number)), &content)
}

fn processor(number: u32) -> Code {
    device(&format!("C{number:03X}"), &[name("_HID", &"ACPI0007"), name("_UID", &number)])
}
