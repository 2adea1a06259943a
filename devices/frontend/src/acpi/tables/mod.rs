//! The tables but the DSDT, and where all of them lie.

use super::{Description, dsdt};
use crate::pc::layout::{EXTENDED, FIRMWARE};
use crate::pci::ECAM_BASE;
use crate::pci::ich9_lpc::{PM_BASE, SCI};
use acpi_tables::Aml;
use acpi_tables::facs::FACS;
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;

/// Where the root system description pointer lies: at the start of the BIOS area, where systems search for it. The other
/// tables follow.
pub const RSDP: u64 = FIRMWARE;
/// Most bytes that the tables may take up.
const SIZE: u64 = EXTENDED - FIRMWARE;

pub(super) const OEM_ID: [u8; 6] = *b"REPRIS";
pub(super) const OEM_TABLE_ID: [u8; 8] = *b"REPRISE ";
pub(super) const OEM_REVISION: u32 = 1;

/// MADT: the system has 8259s, too.
const PCAT_COMPAT: u32 = 1;
/// MPS INTI flags: active high, level-triggered.
const LEVEL_HIGH: u16 = 0xd;
/// IA-PC Boot Architecture Flags: legacy devices, 8042, no VGA (ACPI 6.5, 5.2.9.3).
const BOOT_ARCHITECTURE: u16 = 0b111;
/// Event Timer Block ID: what the HPET's capabilities register holds.
const HPET_ID: u32 = 0x8086_a201;
/// Windows ACPI Emulated Devices Table: the PM timer needs to be read only once.
const PM_TIMER_GOOD: u32 = 1 << 1;
/// A latency that says that there is no such processor power state.
const NO_C_STATE: u16 = 0xfff;

/// All tables, ready to be put into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Where the root system description pointer lies.
    pub rsdp: u64,
    /// Where the bytes go.
    pub base: u64,
    /// The bytes of all tables.
    pub bytes: Vec<u8>,
}

/// Lays tables out one behind the other.
struct Area {
    bytes: Vec<u8>,
}

impl Area {
    /// Appends a table, and returns its address.
    fn add(&mut self, table: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        let address = RSDP + self.bytes.len() as u64;
        self.bytes.extend_from_slice(table);
        address
    }
}

/// The tables of the board that `description` describes.
pub fn tables(description: &Description) -> Tables {
    let mut area = Area { bytes: vec![0; Rsdp::len()] };
    let facs = area.add(&bytes(&FACS::new()));
    let dsdt = area.add(dsdt::dsdt(description).as_slice());
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    xsdt.add_entry(area.add(&fadt(facs, dsdt)));
    for table in [madt(description.cpus), hpet(), mcfg(), waet()] {
        xsdt.add_entry(area.add(&table));
    }
    let xsdt = area.add(&bytes(&xsdt));
    area.bytes[..Rsdp::len()].copy_from_slice(&bytes(&Rsdp::new(OEM_ID, xsdt)));
    assert!(area.bytes.len() as u64 <= SIZE, "{} bytes of ACPI tables do not fit", area.bytes.len());
    Tables { rsdp: RSDP, base: RSDP, bytes: area.bytes }
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

fn sdt(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut table = Sdt::new(*signature, 36, revision, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.append_slice(body);
    table.as_slice().to_vec()
}

/// A register block among the ports.
fn ports(base: u16, bytes: u8, access: AccessSize) -> GAS {
    GAS::new(AddressSpace::SystemIo, bytes * 8, 0, access, u64::from(base))
}

/// Fixed ACPI Description Table (ACPI 6.5, 5.2.9).
fn fadt(facs: u64, dsdt: u64) -> Vec<u8> {
    let pm = u32::from(PM_BASE);
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::ResetRegSup)
        .gpe_info(pm + 0x20, 0, 16, 0, 0);
    fadt.firmware_ctrl = (facs as u32).into();
    fadt.dsdt = (dsdt as u32).into();
    fadt.x_dsdt = dsdt.into();
    fadt.sci_int = u16::from(SCI).into();
    (fadt.pm1a_evt_blk, fadt.pm1_evt_len) = (pm.into(), 4);
    (fadt.pm1a_cnt_blk, fadt.pm1_cnt_len) = ((pm + 4).into(), 2);
    (fadt.pm_tmr_blk, fadt.pm_tmr_len) = ((pm + 8).into(), 4);
    fadt.x_pm1a_evt_blk = ports(PM_BASE, 4, AccessSize::WordAccess);
    fadt.x_pm1a_cnt_blk = ports(PM_BASE + 4, 2, AccessSize::WordAccess);
    fadt.x_pm_tmr_blk = ports(PM_BASE + 8, 4, AccessSize::DwordAccess);
    fadt.x_gpe0_blk = ports(PM_BASE + 0x20, 16, AccessSize::ByteAccess);
    (fadt.p_lvl2_lat, fadt.p_lvl3_lat) = (NO_C_STATE.into(), NO_C_STATE.into());
    fadt.century = 0x32;
    fadt.iapc_boot_arch = BOOT_ARCHITECTURE.into();
    fadt.reset_reg = ports(0xcf9, 1, AccessSize::ByteAccess);
    fadt.reset_value = 0x06;
    bytes(&fadt.finalize())
}

/// Multiple APIC Description Table (ACPI 6.5, 5.2.12).
fn madt(cpus: u32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0xfee0_0000u32.to_le_bytes());
    body.extend(PCAT_COMPAT.to_le_bytes());
    for cpu in 0..cpus {
        body.extend(local_apic(cpu));
    }
    body.extend([1, 12, 0, 0]);
    body.extend(0xfec0_0000u32.to_le_bytes());
    body.extend(0u32.to_le_bytes());
    body.extend(source_override(0, 2, 0));
    for irq in [5, SCI, 10, 11] {
        body.extend(source_override(irq, irq, LEVEL_HIGH));
    }
    // Local APIC NMI structure: LINT1 of all processors.
    body.extend([4, 6, 0xff, 0, 0, 1]);
    sdt(b"APIC", 4, &body)
}

/// Processor local APIC structure, or the x2APIC one for numbers that it has no room for.
fn local_apic(cpu: u32) -> Vec<u8> {
    const ENABLED: u32 = 1;
    match u8::try_from(cpu) {
        Ok(id) if id < 255 => [&[0, 8, id, id][..], &ENABLED.to_le_bytes()].concat(),
        _ => [&[9, 16, 0, 0][..], &cpu.to_le_bytes(), &ENABLED.to_le_bytes(), &cpu.to_le_bytes()].concat(),
    }
}

/// Interrupt source override structure: where an ISA interrupt goes, and how.
fn source_override(irq: u8, gsi: u8, flags: u16) -> Vec<u8> {
    [&[2, 10, 0, irq][..], &u32::from(gsi).to_le_bytes(), &flags.to_le_bytes()].concat()
}

/// IA-PC HPET Specification 1.0a, 3.2.4 The ACPI 2.0 HPET Description Table.
fn hpet() -> Vec<u8> {
    let registers = GAS::new(AddressSpace::SystemMemory, 0, 0, AccessSize::Undefined, 0xfed0_0000);
    let mut body = HPET_ID.to_le_bytes().to_vec();
    body.extend(bytes(&registers));
    // HPET number, least period that interrupts are not lost at, page protection.
    body.extend([0; 4]);
    sdt(b"HPET", 1, &body)
}

/// PCI Firmware Specification 3.2, 4.1.2 MCFG Table Description.
fn mcfg() -> Vec<u8> {
    let mut mcfg = MCFG::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    mcfg.add_ecam(ECAM_BASE, 0, 0, 255);
    bytes(&mcfg)
}

fn waet() -> Vec<u8> {
    sdt(b"WAET", 1, &PM_TIMER_GOOD.to_le_bytes())
}

#[cfg(test)]
mod tests;
