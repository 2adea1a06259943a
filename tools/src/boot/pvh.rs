//! ELF kernels with a PVH entry point: Xen, docs/misc/pvh.pandoc, x86/HVM direct boot ABI; structures in
//! xen/include/public/arch-x86/hvm/start_info.h.

use super::elf::Elf;
use super::image::BOOT_DATA;
use super::{BootError, Fields, Job, command_line, entry, load_initrd};
use linux_loader::loader::elf::start_info::{
    XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED, XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry,
    hvm_modlist_entry, hvm_start_info,
};
use reprise_core::cpu::{CpuState, Segment, reg};
use reprise_frontend::pc::layout::{E820Entry, E820Kind, memory_map};

const START_INFO: u64 = BOOT_DATA.start;
const MODULES: u64 = START_INFO + size_of::<hvm_start_info>() as u64;
const MEMORY_MAP: u64 = MODULES + size_of::<hvm_modlist_entry>() as u64;
/// Longest command line: what is left of the area for boot data.
const COMMAND_LINE: u64 = START_INFO + 0x1000;
const COMMAND_LINE_SIZE: usize = (BOOT_DATA.end - COMMAND_LINE - 1) as usize;
/// The attributes of a busy 32-bit task-state segment.
const BUSY_TSS: u16 = 0x8b;

/// Loads an ELF kernel.
pub(super) fn load(job: &mut Job<'_, '_>) -> Result<CpuState, BootError> {
    let kernel = job.kernel;
    let elf = Elf::parse(kernel)?;
    let no_entry = || BootError::NoPvhEntry { file: kernel.name.clone() };
    let eip = u32::try_from(elf.pvh_entry.ok_or_else(no_entry)?)
        .map_err(|_| kernel.malformed("its PVH entry point lies above 4 GiB"))?;
    let end = elf.load(kernel, job.image)?;
    let line = command_line(&job.request.command_line, COMMAND_LINE_SIZE)?;
    let initrd = load_initrd(job, end, 1 << 32)?;
    let info = start_info(job, initrd);
    job.image.put_bytes("the start information", START_INFO, &info)?;
    job.image.put_bytes("the command line", COMMAND_LINE, &line)?;
    let mut cpu = entry::protected_mode(job.image, job.model, eip)?;
    cpu.tr = Segment { selector: 0, base: 0, limit: 0x67, attributes: BUSY_TSS };
    cpu.regs.set(reg::RBX, START_INFO);
    Ok(cpu)
}

/// The start information, the list of modules and the memory map, one behind the other.
fn start_info(job: &Job<'_, '_>, initrd: Option<(u64, u64)>) -> Vec<u8> {
    const VERSION: u32 = 1;
    let map = memory_map(job.image.board());
    let mut fields = Fields::default();
    fields.u32(XEN_HVM_START_MAGIC_VALUE).u32(VERSION).u32(0).u32(u32::from(initrd.is_some()));
    fields.u64(if initrd.is_some() { MODULES } else { 0 }).u64(COMMAND_LINE).u64(job.rsdp);
    fields.u64(MEMORY_MAP).u32(map.len() as u32).u32(0);
    let (start, size) = initrd.unwrap_or((0, 0));
    fields.u64(start).u64(size).u64(0).u64(0);
    for entry in &map {
        fields.u64(entry.start).u64(entry.size).u32(kind(entry)).u32(0);
    }
    let whole = (MEMORY_MAP - START_INFO) as usize + map.len() * size_of::<hvm_memmap_table_entry>();
    assert_eq!(fields.0.len(), whole, "the layout of the start information");
    fields.0
}

fn kind(entry: &E820Entry) -> u32 {
    match entry.kind {
        E820Kind::Usable => XEN_HVM_MEMMAP_TYPE_RAM,
        E820Kind::Reserved => XEN_HVM_MEMMAP_TYPE_RESERVED,
    }
}
