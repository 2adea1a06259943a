//! Linux's bzImage: Linux, Documentation/arch/x86/boot.rst, The Linux/x86 Boot Protocol, "64-bit Boot Protocol" and
//! "32-bit Boot Protocol".
//!
//! Not supported: zImage (kernels loaded low), and protocols before 2.02, whose command line lies elsewhere.

use super::image::BOOT_DATA;
use super::{BootError, File, Job, command_line, entry, load_initrd};
use linux_loader::bootparam::{
    E820_MAX_ENTRIES_ZEROPAGE, LOADED_HIGH, XLF_KERNEL_64, boot_e820_entry, boot_params, setup_header,
};
use reprise_core::cpu::{CpuState, reg};
use reprise_frontend::pc::layout::{EXTENDED, memory_map};
use std::mem::offset_of;

/// Where the zero page goes, and where the command line.
const ZERO_PAGE: u64 = BOOT_DATA.start;
const COMMAND_LINE: u64 = ZERO_PAGE + 0x1000;
/// Where the setup header begins, in the file and in the zero page.
const SETUP_HEADER: usize = offset_of!(boot_params, hdr);
/// From the start of the protected-mode kernel to its 64-bit entry.
const ENTRY_64: u64 = 0x200;
/// A boot loader without a number of its own.
const UNDEFINED_LOADER: u8 = 0xff;
/// The signature of the boot sector, and of the setup header.
const BOOT_FLAG: u32 = 0xaa55;
const MAGIC: u32 = u32::from_le_bytes(*b"HdrS");

macro_rules! field {
    ($name:ident) => {
        SETUP_HEADER + offset_of!(setup_header, $name)
    };
}

/// What the setup header says; fields that its version does not have yet are what the protocol says they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the file before the protected-mode kernel.
    setup_size: u64,
    /// Bytes of the protected-mode kernel, at least.
    kernel_size: u64,
    /// Where the kernel wants to run.
    address: u64,
    /// Bytes that it needs from there on.
    init_size: u64,
    /// The last address that an initial RAM disk may take up.
    initrd_last: u64,
    command_line_size: usize,
    has_64bit_entry: bool,
}

impl Header {
    /// The header of `kernel`, if it is a bzImage.
    pub(super) fn find(kernel: &File<'_>) -> Result<Option<Self>, BootError> {
        let read = |offset, bytes| read(&kernel.bytes, offset, bytes);
        if read(field!(boot_flag), 2) != Some(BOOT_FLAG) || read(field!(header), 4) != Some(MAGIC) {
            return Ok(None);
        }
        let header = kernel.part("the setup header", 0, SETUP_HEADER as u64 + size_of::<setup_header>() as u64)?;
        Self::parse(kernel, header).map(Some)
    }

    fn parse(kernel: &File<'_>, header: &[u8]) -> Result<Self, BootError> {
        let read = |offset, bytes| read(header, offset, bytes).expect("the whole header is there");
        let version = read(field!(version), 2) as u16;
        if version < 0x202 {
            return Err(kernel.malformed(format!("its boot protocol {version:#x} is older than 2.02")));
        }
        if read(field!(loadflags), 1) as u8 & LOADED_HIGH == 0 {
            return Err(kernel.malformed("it is a zImage, which is loaded low: only bzImages can be booted"));
        }
        let since = |first: u16, offset: usize, before: u64| {
            if version >= first { u64::from(read(offset, 4)) } else { before }
        };
        let sectors = match read(field!(setup_sects), 1) {
            0 => 4,
            sectors => sectors,
        };
        let kernel_size = 16 * since(0x204, field!(syssize), 0);
        let relocatable = version >= 0x205 && read(field!(relocatable_kernel), 1) != 0;
        let preferred = since(0x20a, field!(pref_address), EXTENDED) | since(0x20a, field!(pref_address) + 4, 0) << 32;
        let aligned = preferred.is_multiple_of(since(0x205, field!(kernel_alignment), 1).max(1));
        if relocatable && (!aligned || preferred < EXTENDED) {
            return Err(kernel.malformed(format!("its preferred address {preferred:#x} cannot be")));
        }
        Ok(Self {
            setup_size: 512 * (u64::from(sectors) + 1),
            kernel_size,
            address: if relocatable { preferred } else { EXTENDED },
            init_size: since(0x20a, field!(init_size), 0),
            initrd_last: since(0x203, field!(initrd_addr_max), 0x37ff_ffff),
            command_line_size: since(0x206, field!(cmdline_size), 255) as usize,
            has_64bit_entry: version >= 0x20c && read(field!(xloadflags), 2) as u16 & XLF_KERNEL_64 != 0,
        })
    }
}

/// The number of up to four bytes at `offset`.
fn read(bytes: &[u8], offset: usize, size: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + size)?;
    Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)))
}

/// Loads a bzImage.
pub(super) fn load(job: &mut Job<'_, '_>, header: &Header) -> Result<CpuState, BootError> {
    let kernel = job.kernel;
    kernel.part("the protected-mode kernel", header.setup_size, header.kernel_size.max(1))?;
    let code = &kernel.bytes[header.setup_size as usize..];
    let low_ram = job.image.board().low_ram();
    let end = header.address.saturating_add(header.init_size.max(code.len() as u64));
    if end > low_ram {
        return Err(BootError::KernelTooLarge { file: kernel.name.clone(), needed: end, ram: low_ram });
    }
    job.image.put_bytes("the kernel", header.address, code)?;
    let room = (BOOT_DATA.end - COMMAND_LINE - 1) as usize;
    let line = command_line(&job.request.command_line, header.command_line_size.min(room))?;
    let initrd = load_initrd(job, end, header.initrd_last.saturating_add(1))?;
    let zero_page = zero_page(job, header, initrd);
    job.image.put_bytes("the zero page", ZERO_PAGE, &zero_page)?;
    job.image.put_bytes("the command line", COMMAND_LINE, &line)?;
    start(job, header)
}

fn start(job: &mut Job<'_, '_>, header: &Header) -> Result<CpuState, BootError> {
    let mut cpu = if header.has_64bit_entry {
        entry::long_mode(job.image, job.model, header.address + ENTRY_64)?
    } else {
        entry::protected_mode(job.image, job.model, header.address as u32)?
    };
    cpu.regs.set(reg::RSI, ZERO_PAGE);
    Ok(cpu)
}

/// The zero page (Linux, Documentation/arch/x86/zero-page.rst).
fn zero_page(job: &Job<'_, '_>, header: &Header, initrd: Option<(u64, u64)>) -> Vec<u8> {
    let mut page = vec![0; size_of::<boot_params>()];
    let file = &job.kernel.bytes;
    // The header reaches as far as the jump over it at its start goes.
    let jump = offset_of!(setup_header, header);
    let size = (jump + usize::from(file[SETUP_HEADER + jump - 1])).min(size_of::<setup_header>());
    page[SETUP_HEADER..SETUP_HEADER + size].copy_from_slice(&file[SETUP_HEADER..SETUP_HEADER + size]);
    let mut put = |offset: usize, bytes: &[u8]| page[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(field!(type_of_loader), &[UNDEFINED_LOADER]);
    put(field!(code32_start), &(header.address as u32).to_le_bytes());
    put(field!(cmd_line_ptr), &(COMMAND_LINE as u32).to_le_bytes());
    if let Some((start, size)) = initrd {
        put(field!(ramdisk_image), &(start as u32).to_le_bytes());
        put(field!(ramdisk_size), &(size as u32).to_le_bytes());
    }
    put(offset_of!(boot_params, acpi_rsdp_addr), &job.rsdp.to_le_bytes());
    let map = memory_map(job.image.board());
    assert!(map.len() <= E820_MAX_ENTRIES_ZEROPAGE, "the memory map has {} entries", map.len());
    put(offset_of!(boot_params, e820_entries), &[map.len() as u8]);
    for (index, entry) in map.iter().enumerate() {
        let at = offset_of!(boot_params, e820_table) + index * size_of::<boot_e820_entry>();
        put(at + offset_of!(boot_e820_entry, addr), &entry.start.to_le_bytes());
        put(at + offset_of!(boot_e820_entry, size), &entry.size.to_le_bytes());
        put(at + offset_of!(boot_e820_entry, r#type), &(entry.kind as u32).to_le_bytes());
    }
    page
}
