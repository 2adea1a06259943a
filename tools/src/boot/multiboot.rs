//! Multiboot kernels: Multiboot Specification 0.6.96, 3.1 OS image format and 3.3 Boot information format.
//!
//! The command line begins with the kernel's name, and modules come from a list, as in QEMU. Not supported: video modes
//! (the request is ignored: there is no video adapter), drives, APM and VBE tables.

use super::elf::{self, Elf};
use super::image::BOOT_DATA;
use super::{BootError, Fields, File, Job, entry, read_file};
use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, reg};
use reprise_frontend::pc::layout::{EBDA, EXTENDED, memory_map};
use std::path::Path;

/// Where the header must lie, and its magic number.
const SEARCH: usize = 8192;
const HEADER_MAGIC: u32 = 0x1bad_b002;
/// What EAX holds when the kernel starts.
const LOADER_MAGIC: u32 = 0x2bad_b002;

/// Header flags: the address fields are valid.
const ADDRESSES: u32 = 1 << 16;
/// Header flags that a loader must know or refuse, and that are known: page alignment, memory information, video.
const REQUIRED: u32 = 0xffff;
const KNOWN: u32 = 0b111;

/// Boot information flags: memory, command line, modules, memory map, name of the boot loader.
const INFO_FLAGS: u32 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
const LOADER_NAME: &str = "reprise";

const INFO: u64 = BOOT_DATA.start;
/// Bytes of the boot information, up to the name of the boot loader and what follows it.
const INFO_SIZE: usize = 88;

/// A multiboot header: where it is in the file, and its address fields if they are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    offset: u64,
    addresses: Option<Addresses>,
}

/// The a.out kludge: where the image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses {
    header: u32,
    load: u32,
    load_end: u32,
    bss_end: u32,
    entry: u32,
}

impl Header {
    /// The header of `kernel`, if it has one.
    pub(super) fn find(kernel: &File<'_>) -> Result<Option<Self>, BootError> {
        let head = &kernel.bytes[..kernel.bytes.len().min(SEARCH)];
        let word = |offset: usize| Some(u32::from_le_bytes(head.get(offset..offset + 4)?.try_into().ok()?));
        let is_header = |offset: &usize| {
            let sum = || Some(word(*offset)?.wrapping_add(word(offset + 4)?).wrapping_add(word(offset + 8)?));
            word(*offset) == Some(HEADER_MAGIC) && sum() == Some(0)
        };
        let Some(offset) = (0..head.len()).step_by(4).find(is_header) else { return Ok(None) };
        let flags = word(offset + 4).expect("the sum was right");
        if flags & REQUIRED & !KNOWN != 0 {
            return Err(kernel.malformed(format!("its multiboot header requires unknown features {flags:#x}")));
        }
        let addresses = (flags & ADDRESSES != 0).then(|| Addresses::parse(kernel, offset)).transpose()?;
        Ok(Some(Self { offset: offset as u64, addresses }))
    }
}

impl Addresses {
    fn parse(kernel: &File<'_>, offset: usize) -> Result<Self, BootError> {
        let bytes = kernel.part("the multiboot header", offset as u64 + 12, 20)?;
        let word = |index: usize| u32::from_le_bytes(bytes[4 * index..4 * index + 4].try_into().expect("20 bytes"));
        Ok(Self { header: word(0), load: word(1), load_end: word(2), bss_end: word(3), entry: word(4) })
    }

    /// Puts the image into memory; returns its end.
    fn load(&self, job: &mut Job<'_, '_>, header_offset: u64) -> Result<u64, BootError> {
        let kernel = job.kernel;
        let before = self.header.checked_sub(self.load).map(u64::from);
        let offset = before.and_then(|before| header_offset.checked_sub(before));
        let offset = offset.ok_or_else(|| kernel.malformed("its multiboot load address lies before the file"))?;
        let size = match self.load_end {
            0 => kernel.size().saturating_sub(offset),
            end => u64::from(end.checked_sub(self.load).ok_or_else(|| kernel.malformed("it ends before it starts"))?),
        };
        let bytes = kernel.part("the image", offset, size)?;
        let memory = u64::from(self.bss_end).saturating_sub(u64::from(self.load)).max(size);
        job.image.put("the kernel", u64::from(self.load), bytes, memory)?;
        Ok(u64::from(self.load) + memory)
    }
}

/// Loads a multiboot kernel.
pub(super) fn load(job: &mut Job<'_, '_>, header: &Header) -> Result<CpuState, BootError> {
    let (eip, end) = match &header.addresses {
        Some(addresses) => (addresses.entry, addresses.load(job, header.offset)?),
        None => load_elf(job)?,
    };
    let modules = load_modules(job, end)?;
    let info = info(job, &modules);
    if info.len() as u64 > BOOT_DATA.end - INFO {
        let limit = (BOOT_DATA.end - INFO) as usize - (info.len() - job.request.command_line.len()).min(info.len());
        return Err(BootError::CommandLineTooLong { length: job.request.command_line.len(), limit });
    }
    job.image.put_bytes("the boot information", INFO, &info)?;
    let mut cpu = entry::protected_mode(job.image, job.model, eip)?;
    cpu.regs.set32(reg::RAX, LOADER_MAGIC);
    cpu.regs.set(reg::RBX, INFO);
    Ok(cpu)
}

fn load_elf(job: &mut Job<'_, '_>) -> Result<(u32, u64), BootError> {
    let kernel = job.kernel;
    if !elf::is_elf(&kernel.bytes) {
        return Err(kernel.malformed("its multiboot header has no addresses, and it is no ELF file"));
    }
    let elf = Elf::parse(kernel)?;
    if elf.is_64bit {
        return Err(kernel.malformed("it is a 64-bit ELF file with a multiboot header: make it a 32-bit one"));
    }
    let end = elf.load(kernel, job.image)?;
    let entry = u32::try_from(elf.physical_entry()).map_err(|_| kernel.malformed("its entry point cannot be"))?;
    Ok((entry, end))
}

/// A module in memory.
struct Module {
    start: u64,
    end: u64,
    text: String,
}

/// Loads the modules of `-initrd`, each on a page of its own after the kernel.
fn load_modules(job: &mut Job<'_, '_>, kernel_end: u64) -> Result<Vec<Module>, BootError> {
    let mut next = kernel_end.max(EXTENDED).next_multiple_of(4096);
    let mut modules = Vec::new();
    for text in module_list(job.request.initrd.as_deref().unwrap_or_default()) {
        let file = text.split(' ').next().unwrap_or_default();
        let module = read_file("module", Path::new(file), job.files, job.image.board())?;
        let end = next + module.size();
        let room = job.image.board().low_ram().saturating_sub(next);
        if module.size() > room {
            return Err(BootError::InitrdTooLarge { file: module.name.clone(), needed: module.size(), room });
        }
        job.image.put_bytes("a module", next, &module.bytes)?;
        modules.push(Module { start: next, end, text });
        next = end.next_multiple_of(4096);
    }
    Ok(modules)
}

/// The entries of a list that commas separate; two commas are one that does not.
fn module_list(list: &str) -> Vec<String> {
    let mut entries = vec![String::new()];
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ',' if characters.next_if_eq(&',').is_none() => entries.push(String::new()),
            _ => entries.last_mut().expect("never empty").push(character),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

/// The boot information, and behind it the memory map, the modules and all strings.
fn info(job: &Job<'_, '_>, modules: &[Module]) -> Vec<u8> {
    let map = memory_map_entries(job.image.board());
    let map_at = INFO + INFO_SIZE as u64;
    let modules_at = map_at + map.len() as u64;
    let mut strings = Fields::default();
    let strings_at = modules_at + 16 * modules.len() as u64;
    let mut place = |text: &str| {
        let at = strings_at + strings.0.len() as u64;
        strings.string(text);
        at as u32
    };
    let command_line = place(format!("{} {}", job.kernel.name, job.request.command_line).trim_end());
    let loader_name = place(LOADER_NAME);
    let mut list = Fields::default();
    for module in modules {
        list.u32(module.start as u32).u32(module.end as u32).u32(place(&module.text)).u32(0);
    }
    let mut info = Fields::default();
    info.u32(INFO_FLAGS).u32((EBDA >> 10) as u32).u32(((job.image.board().low_ram() - EXTENDED) >> 10) as u32);
    info.u32(0).u32(command_line).u32(modules.len() as u32).u32(modules_at as u32);
    info.u64(0).u64(0).u32(map.len() as u32).u32(map_at as u32);
    info.u32(0).u32(0).u32(0).u32(loader_name);
    info.0.resize(INFO_SIZE, 0);
    [info.0, map, list.0, strings.0].concat()
}

/// The memory map, each entry led by its size without that field.
fn memory_map_entries(board: &Board) -> Vec<u8> {
    let mut fields = Fields::default();
    for entry in memory_map(board) {
        fields.u32(20).u64(entry.start).u64(entry.size).u32(entry.kind as u32);
    }
    fields.0
}

#[cfg(test)]
mod tests {
    use super::module_list;

    #[test]
    fn module_lists_are_split_at_single_commas() {
        assert_eq!(module_list("a b,c"), ["a b", "c"]);
        assert_eq!(module_list("a,,b"), ["a,b"]);
        assert_eq!(module_list(""), Vec::<String>::new());
    }
}
