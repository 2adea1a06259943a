//! The states in which boot protocols start the first vCPU.

use super::BootError;
use super::image::{GDT, Image, PAGE_TABLES};
use reprise_core::cpu::{CpuState, Model, Segment, TableRegister, cr0, cr4, efer, reg, seg};
use reprise_frontend::pci::ECAM_BASE;

/// Selector of the code segment, as the Linux boot protocol wants it: __BOOT_CS.
const CODE: u16 = 0x10;
/// Selector of the data segment: __BOOT_DS.
const DATA: u16 = 0x18;
const CODE_32: u64 = 0x00cf_9b00_0000_ffff;
const CODE_64: u64 = 0x00af_9b00_0000_ffff;
const FLAT_DATA: u64 = 0x00cf_9300_0000_ffff;

/// Physical address bits of the CPU models: what the masks of memory type ranges are made of.
const PHYSICAL_BITS: u32 = 40;
/// Memory type: write-protected.
const WRITE_PROTECTED: u64 = 5;
/// Memory type: write-back.
const WRITE_BACK: u64 = 6;
/// IA32_MTRR_DEF_TYPE: fixed and variable ranges are enabled.
const MTRRS_ENABLED: u64 = 0xc00;
/// IA32_MTRR_PHYSMASKn: the range is valid.
const RANGE_VALID: u64 = 1 << 11;
/// Each byte the same.
const EIGHT: u64 = 0x0101_0101_0101_0101;

/// The state after power-on, with caches enabled and memory types set as SeaBIOS leaves them: write-back but for the
/// video adapter's window, the BIOS area and the PCI hole.
fn after_firmware(model: &Model) -> CpuState {
    let mut cpu = CpuState::new(0, model);
    cpu.cr0 = cr0::ET;
    let msrs = &mut cpu.msrs;
    msrs.mtrr_def_type = MTRRS_ENABLED | WRITE_BACK;
    msrs.mtrr_fixed = [WRITE_PROTECTED * EIGHT; 11];
    msrs.mtrr_fixed[..3].copy_from_slice(&[WRITE_BACK * EIGHT, WRITE_BACK * EIGHT, 0]);
    let mask = |size: u64| ((1 << PHYSICAL_BITS) - size) | RANGE_VALID;
    msrs.mtrr_variable[..4].copy_from_slice(&[0xc000_0000, mask(1 << 30), ECAM_BASE, mask(1 << 28)]);
    cpu
}

/// Real mode at `address`, which lies below 4 GiB: the code segment's base is the 64 KiB around it.
pub(super) fn real_mode(model: &Model, address: u32) -> CpuState {
    let mut cpu = after_firmware(model);
    let base = address & !0xffff;
    cpu.segs[seg::CS] = Segment { base: u64::from(base), ..Segment::real_mode_code((base >> 4) as u16) };
    cpu.regs.set_rip(u64::from(address & 0xffff));
    cpu
}

/// 32-bit protected mode at `eip`, without paging, with flat segments.
pub(super) fn protected_mode(image: &mut Image<'_>, model: &Model, eip: u32) -> Result<CpuState, BootError> {
    let mut cpu = flat(image, model, CODE_32)?;
    cpu.regs.set_rip(u64::from(eip));
    Ok(cpu)
}

/// 64-bit mode at `rip`, with the first 4 GiB mapped to themselves.
pub(super) fn long_mode(image: &mut Image<'_>, model: &Model, rip: u64) -> Result<CpuState, BootError> {
    image.put_bytes("the page tables", PAGE_TABLES, &identity_map())?;
    let mut cpu = flat(image, model, CODE_64)?;
    cpu.cr0 |= cr0::PG;
    cpu.cr3 = PAGE_TABLES;
    cpu.cr4 = cr4::PAE;
    cpu.efer = efer::LME | efer::LMA;
    cpu.regs.set_rip(rip);
    Ok(cpu)
}

fn flat(image: &mut Image<'_>, model: &Model, code: u64) -> Result<CpuState, BootError> {
    let table = [0, 0, code, FLAT_DATA];
    let bytes: Vec<u8> = table.iter().flat_map(|descriptor| descriptor.to_le_bytes()).collect();
    image.put_bytes("the descriptor table", GDT, &bytes)?;
    let mut cpu = after_firmware(model);
    cpu.cr0 |= cr0::PE;
    cpu.gdtr = TableRegister { base: GDT, limit: bytes.len() as u16 - 1 };
    cpu.segs = [Segment::from_descriptor(DATA, FLAT_DATA); 6];
    cpu.segs[seg::CS] = Segment::from_descriptor(CODE, code);
    cpu.regs.set(reg::RDX, 0);
    Ok(cpu)
}

/// Page tables that map 4 GiB to themselves in pages of 2 MiB (SDM vol. 3, 4.5 4-Level Paging).
fn identity_map() -> Vec<u8> {
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 1 << 7;
    let mut table = vec![0; 6 * 4096];
    let mut entry = |page: usize, index: usize, value: u64| {
        let at = 4096 * page + 8 * index;
        table[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    entry(0, 0, (PAGE_TABLES + 0x1000) | PRESENT_WRITABLE);
    for gib in 0..4 {
        entry(1, gib, (PAGE_TABLES + 0x2000 + 0x1000 * gib as u64) | PRESENT_WRITABLE);
        for page in 0..512 {
            entry(2 + gib, page, (gib << 30 | page << 21) as u64 | PRESENT_WRITABLE | LARGE);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::board::Board;
    use reprise_core::cpu::model::MODELS;

    #[test]
    fn the_page_tables_map_every_address_to_itself() {
        let tables = identity_map();
        let read = |address: u64| {
            let at = (address - PAGE_TABLES) as usize;
            u64::from_le_bytes(tables[at..at + 8].try_into().unwrap())
        };
        for address in [0u64, 0x10_0200, 0x7fff_f000, 0xffff_f123] {
            let index = |shift: u32| 8 * (address >> shift & 0x1ff);
            let next = |entry: u64| entry & !0xfff;
            let directory = next(read(next(read(PAGE_TABLES + index(39))) + index(30)));
            let page = read(directory + index(21));
            assert_eq!(page & 0x83, 0x83);
            assert_eq!(page & !0x1f_ffff | address & 0x1f_ffff, address);
        }
    }

    #[test]
    fn long_mode_is_64_bit_code_at_privilege_0() {
        let board = Board::new(16 << 20, 1).unwrap();
        let mut image = Image::new(&board);
        let cpu = long_mode(&mut image, &MODELS[0], 0x10_0200).unwrap();
        assert!(cpu.is_64bit() && cpu.is_protected());
        assert_eq!((cpu.cpl(), cpu.regs.rip()), (0, 0x10_0200));
        assert_eq!((cpu.segs[seg::CS].selector, cpu.segs[seg::SS].selector), (0x10, 0x18));
    }

    #[test]
    fn protected_mode_has_flat_segments() {
        let board = Board::new(16 << 20, 1).unwrap();
        let mut image = Image::new(&board);
        let cpu = protected_mode(&mut image, &MODELS[0], 0x10_0000).unwrap();
        assert!(cpu.is_protected() && !cpu.is_long_mode());
        assert!(cpu.segs.iter().all(|segment| segment.base == 0 && segment.limit == u32::MAX && segment.is_big()));
        assert!(!cpu.flags.has(reprise_core::cpu::Flags::IF));
    }

    #[test]
    fn real_mode_starts_anywhere_below_4_gib() {
        let cpu = real_mode(&MODELS[0], 0x0012_3456);
        assert_eq!((cpu.segs[seg::CS].base, cpu.regs.rip()), (0x12_0000, 0x3456));
        assert!(!cpu.is_protected());
    }
}
