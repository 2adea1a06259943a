//! ELF images: what is loaded where (Tool Interface Standard, Executable and Linking Format 1.2, 2-2 Program Header).

use super::image::Image;
use super::{BootError, File};
use object::elf::{ELFMAG, FileHeader32, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadRef};

/// Whether the bytes begin like an ELF file.
pub(super) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&ELFMAG)
}

/// A part of a file that goes to memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    size: u64,
    address: u64,
    /// Bytes in memory, of which those past `size` are zero.
    memory: u64,
}

/// What is used of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// Whether it is a 64-bit file.
    pub(super) is_64bit: bool,
    /// Virtual address of the entry point.
    entry: u64,
    /// Entry point of a PVH note: XEN_ELFNOTE_PHYS32_ENTRY.
    pub(super) pvh_entry: Option<u64>,
    segments: Vec<Segment>,
    /// Differences between virtual and physical addresses, segment by segment.
    virtual_starts: Vec<u64>,
}

/// XEN_ELFNOTE_PHYS32_ENTRY (Xen, xen/include/public/elfnote.h).
const PHYS32_ENTRY: u32 = 18;

impl Elf {
    /// The headers of `file`, which is an ELF file.
    pub(super) fn parse(file: &File<'_>) -> Result<Self, BootError> {
        let bytes = &*file.bytes;
        let parsed = match bytes.get(4) {
            Some(1) => Self::parse_class::<FileHeader32<Endianness>, _>(bytes, false),
            Some(2) => Self::parse_class::<FileHeader64<Endianness>, _>(bytes, true),
            _ => return Err(file.malformed("it is neither a 32-bit nor a 64-bit ELF file")),
        };
        parsed.map_err(|error| file.malformed(format!("its ELF headers are damaged or incomplete: {error}")))
    }

    fn parse_class<'data, H, R>(data: R, is_64bit: bool) -> object::Result<Self>
    where
        H: FileHeader<Endian = Endianness>,
        R: ReadRef<'data>,
    {
        let header = H::parse(data)?;
        let endian = header.endian()?;
        let mut elf = Self {
            is_64bit,
            entry: header.e_entry(endian).into(),
            pvh_entry: None,
            segments: Vec::new(),
            virtual_starts: Vec::new(),
        };
        for segment in header.program_headers(endian, data)? {
            match segment.p_type(endian) {
                PT_LOAD => elf.add_segment(segment, endian),
                PT_NOTE if elf.pvh_entry.is_none() => elf.pvh_entry = pvh_entry(segment, endian, data)?,
                _ => {}
            }
        }
        Ok(elf)
    }

    fn add_segment<P: ProgramHeader<Endian = Endianness>>(&mut self, segment: &P, endian: Endianness) {
        let (size, memory) = (segment.p_filesz(endian).into(), segment.p_memsz(endian).into());
        let offset = segment.p_offset(endian).into();
        self.segments.push(Segment { offset, size, address: segment.p_paddr(endian).into(), memory });
        self.virtual_starts.push(segment.p_vaddr(endian).into());
    }

    /// Puts all segments into memory; returns the end of the highest.
    pub(super) fn load(&self, file: &File<'_>, image: &mut Image<'_>) -> Result<u64, BootError> {
        let mut end = 0;
        for segment in &self.segments {
            let bytes = file.part("a segment", segment.offset, segment.size)?;
            let memory = segment.memory.max(segment.size);
            image.put(&file.name, segment.address, bytes, memory)?;
            end = end.max(segment.address + memory);
        }
        if end == 0 {
            return Err(file.malformed("it has no segments to load"));
        }
        Ok(end)
    }

    /// The physical address of the entry point: programs that run at other addresses than they are loaded at name the
    /// virtual one.
    pub(super) fn physical_entry(&self) -> u64 {
        let holds = |(segment, start): &(&Segment, &u64)| self.entry.wrapping_sub(**start) < segment.memory;
        match self.segments.iter().zip(&self.virtual_starts).find(holds) {
            Some((segment, start)) => segment.address.wrapping_add(self.entry.wrapping_sub(*start)),
            None => self.entry,
        }
    }
}

/// The PVH entry point among the notes of a segment.
fn pvh_entry<'data, P, R>(segment: &P, endian: Endianness, data: R) -> object::Result<Option<u64>>
where
    P: ProgramHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let Some(mut notes) = segment.notes(endian, data)? else { return Ok(None) };
    while let Some(note) = notes.next()? {
        if note.name() == b"Xen" && note.n_type(endian) == PHYS32_ENTRY {
            let bytes = note.desc().iter().take(8).rev();
            return Ok(Some(bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))));
        }
    }
    Ok(None)
}
