//! Boot: from the files that a user names to what the machine holds when it starts.
//!
//! | format | entry | document |
//! | --- | --- | --- |
//! | multiboot | 32-bit protected mode | Multiboot Specification 0.6.96 |
//! | ELF with a PVH note | 32-bit protected mode | Xen: docs/misc/pvh.pandoc |
//! | bzImage | 64-bit, else 32-bit | Linux: Documentation/arch/x86/boot.rst |
//! | flat binary, ELF | real mode at the address | QEMU: docs/system/generic-loader.rst |
//!
//! The formats are tried in this order. All of them find in memory what firmware would have left there.

mod elf;
mod entry;
mod error;
pub mod files;
mod image;
mod linux;
pub mod loader;
mod multiboot;
mod pvh;
#[cfg(test)]
mod tests;

use files::Files;
use image::Image;
use reprise_core::board::Board;
use reprise_core::cpu::{CpuState, Model};
use reprise_core::machine::BootImage;
use reprise_frontend::pc::Pc;
use reprise_frontend::pc::layout::LEAST_RAM;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub use error::BootError;
pub use loader::Loader;

/// What the user asked to boot.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `-kernel`, or the kernel that is built in; `None` if a [`Loader`] brings what is run.
    pub kernel: Option<Source>,
    /// `-initrd`: one file; for a multiboot kernel a list `file arguments,file arguments`.
    pub initrd: Option<String>,
    /// `-append`.
    pub command_line: String,
    /// Each `-device loader`, in order.
    pub loaders: Vec<Loader>,
}

/// Where the bytes of a kernel come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of the host.
    File(PathBuf),
    /// Part of this program.
    BuiltIn {
        /// What messages call it.
        name: &'static str,
        /// Its bytes.
        bytes: &'static [u8],
    },
}

/// A file that is booted, or part of what is.
struct File<'a> {
    name: String,
    bytes: Cow<'a, [u8]>,
}

/// What a format's loader works with.
struct Job<'a, 'b> {
    kernel: &'a File<'a>,
    request: &'a Request,
    /// Where the root pointer of the ACPI tables lies.
    rsdp: u64,
    model: &'static Model,
    image: &'a mut Image<'b>,
    files: &'a mut dyn Files,
}

/// Loads everything that `request` names from `files`, for a machine of `board` and `pc` (all devices attached) with CPUs
/// of `model`.
pub fn load(
    request: &Request,
    files: &mut dyn Files,
    board: &Board,
    pc: &Pc,
    model: &'static Model,
) -> Result<BootImage, BootError> {
    if board.low_ram() < LEAST_RAM {
        return Err(BootError::RamTooSmall { ram: board.ram.len(), least: LEAST_RAM });
    }
    let mut image = Image::new(board);
    for (start, bytes) in pc.firmware_memory(board) {
        image.put_bytes("firmware's data", start, &bytes)?;
    }
    let mut cpu = None;
    if let Some(source) = &request.kernel {
        let kernel = source.read(files, board)?;
        let job = Job { kernel: &kernel, request, rsdp: pc.rsdp(), model, image: &mut image, files };
        cpu = Some(load_kernel(job)?);
    }
    for loader in &request.loaders {
        if let Some(address) = loader.load(files, &mut image)? {
            cpu = Some(entry::real_mode(model, address));
        }
    }
    let cpu = cpu.ok_or(BootError::NothingToRun)?;
    Ok(BootImage { memory: image.into_memory(), cpu })
}

/// Loads a kernel by the first format that its file is of.
fn load_kernel(mut job: Job<'_, '_>) -> Result<CpuState, BootError> {
    let kernel = job.kernel;
    if let Some(header) = multiboot::Header::find(kernel)? {
        return multiboot::load(&mut job, &header);
    }
    if elf::is_elf(&kernel.bytes) {
        return pvh::load(&mut job);
    }
    match linux::Header::find(kernel)? {
        Some(header) => linux::load(&mut job, &header),
        None => Err(BootError::NotAKernel { file: kernel.name.clone() }),
    }
}

impl Source {
    fn read(&self, files: &mut dyn Files, board: &Board) -> Result<File<'static>, BootError> {
        match self {
            Self::File(path) => read_file("kernel", path, files, board),
            Self::BuiltIn { name, bytes } => match files.built_in(name, bytes) {
                Ok(bytes) => Ok(File { name: (*name).into(), bytes }),
                Err(source) => Err(BootError::Read { what: "kernel", file: (*name).into(), source }),
            },
        }
    }
}

/// Reads a file that is to go into `board`'s RAM; no more is read than fits there.
fn read_file(
    what: &'static str,
    path: &Path,
    files: &mut dyn Files,
    board: &Board,
) -> Result<File<'static>, BootError> {
    let name = path.display().to_string();
    let ram = board.ram.len();
    match files.read(path, ram + 1) {
        Err(source) => Err(BootError::Read { what, file: name, source }),
        Ok(bytes) if bytes.len() as u64 > ram => Err(BootError::LargerThanRam { what, file: name, ram }),
        Ok(bytes) => Ok(File { name, bytes }),
    }
}

impl File<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn malformed(&self, reason: impl Into<String>) -> BootError {
        BootError::Malformed { file: self.name.clone(), reason: reason.into() }
    }

    /// The `size` bytes at `offset`, which are the file's `part`.
    fn part(&self, part: &'static str, offset: u64, size: u64) -> Result<&[u8], BootError> {
        let needed = offset.saturating_add(size);
        let range = usize::try_from(offset).ok().zip(usize::try_from(needed).ok());
        range.and_then(|(start, end)| self.bytes.get(start..end)).ok_or_else(|| BootError::Truncated {
            file: self.name.clone(),
            part,
            needed,
            found: self.size(),
        })
    }
}

/// Bytes that are put together field by field.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string with its end.
    fn string(&mut self, text: &str) -> &mut Self {
        self.0.extend(text.bytes());
        self.0.push(0);
        self
    }
}

/// The `-initrd` of a protocol that takes one, put as high as `limit` lets it and above `floor`: its address and size.
fn load_initrd(job: &mut Job<'_, '_>, floor: u64, limit: u64) -> Result<Option<(u64, u64)>, BootError> {
    let Some(path) = &job.request.initrd else { return Ok(None) };
    let board = job.image.board();
    let initrd = read_file("initial RAM disk", Path::new(path), job.files, board)?;
    let end = board.low_ram().min(limit);
    let floor = floor.next_multiple_of(4096);
    let start = end.saturating_sub(initrd.size()) & !0xfff;
    if start < floor {
        let room = end.saturating_sub(floor);
        return Err(BootError::InitrdTooLarge { file: initrd.name, needed: initrd.bytes.len() as u64, room });
    }
    job.image.put_bytes("the initial RAM disk", start, &initrd.bytes)?;
    Ok(Some((start, initrd.size())))
}

/// The command line with its end, if it is not longer than `limit`.
fn command_line(text: &str, limit: usize) -> Result<Vec<u8>, BootError> {
    if text.len() > limit {
        return Err(BootError::CommandLineTooLong { length: text.len(), limit });
    }
    Ok([text.as_bytes(), &[0]].concat())
}
