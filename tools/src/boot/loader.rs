//! `-device loader`: files and values put into memory (QEMU, docs/system/generic-loader.rst).
//!
//! Differences from QEMU: a raw image starts in real mode with a code segment whose base is the 64 KiB around the address,
//! where QEMU leaves the base that the CPU has after power-on; U-Boot images and hex files are loaded raw; only the first
//! vCPU can be started, because the others wait for a start-up IPI.

use super::elf::{Elf, is_elf};
use super::files::Files;
use super::image::Image;
use super::{BootError, read_file};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use std::path::{Path, PathBuf};

/// The declaration of the device.
pub static SPEC: DeviceSpec = DeviceSpec {
    name: "loader",
    category: Category::Misc,
    bus: "",
    description: "puts a file or a value into memory before the machine starts",
    user_creatable: true,
    properties: &[
        property("file", PropertyKind::Text, "", "file to load: an ELF image, or anything else as it is"),
        property(
            "addr",
            PropertyKind::Number(u64::MAX),
            "",
            "physical address of the file or value, or where to start",
        ),
        property(
            "cpu-num",
            PropertyKind::Number(254),
            "",
            "vCPU that starts at the address, or at the ELF entry point",
        ),
        property("force-raw", PropertyKind::Bool, "off", "load an ELF image as it is, too"),
        property("data", PropertyKind::Number(u64::MAX), "", "value to put at the address"),
        property("data-len", PropertyKind::Number(8), "", "bytes of the value"),
        property("data-be", PropertyKind::Bool, "off", "store the value with its most significant byte first"),
    ],
    attach: |_, _| {
        Err(AttachError::Invalid { device: "loader", reason: "it is not part of the board: it acts at boot".into() })
    },
};

const fn property(
    name: &'static str,
    kind: PropertyKind,
    default: &'static str,
    description: &'static str,
) -> PropertySpec {
    PropertySpec { name, kind, default, description }
}

/// One `-device loader`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    content: Content,
    /// The vCPU that starts there.
    cpu: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File { path: PathBuf, address: Option<u64>, force_raw: bool },
    Value { address: u64, bytes: Vec<u8> },
    Start { address: u64 },
}

impl Loader {
    /// A loader from the properties that the user gave.
    pub fn new(given: &[(String, String)]) -> Result<Self, BootError> {
        let properties = Properties::new(&SPEC, given)?;
        let number = |name: &str| (!properties.text(name).is_empty()).then(|| properties.number(name));
        let file = properties.text("file");
        let content = match (file.is_empty(), number("addr"), number("data")) {
            (false, address, None) if number("data-len").is_none() => {
                Content::File { path: file.into(), address, force_raw: properties.flag("force-raw") }
            }
            (false, ..) => return Err(refused("file= and data= cannot go together")),
            (true, None, _) => return Err(refused("it needs file=, or addr= with data= and data-len= or cpu-num=")),
            (true, Some(address), Some(data)) => {
                Content::Value { address, bytes: value(data, number("data-len"), properties.flag("data-be"))? }
            }
            (true, Some(address), None) => Content::Start { address },
        };
        let cpu = number("cpu-num");
        if matches!(content, Content::Start { .. }) && cpu.is_none() {
            return Err(refused("addr= alone does nothing: add file=, data= and data-len=, or cpu-num="));
        }
        Ok(Self { content, cpu })
    }

    /// Puts what is to be loaded into memory; returns where the first vCPU starts, if this says so.
    pub(super) fn load(&self, files: &mut dyn Files, image: &mut Image<'_>) -> Result<Option<u32>, BootError> {
        let cpus = image.board().apics.len() as u64;
        if let Some(cpu) = self.cpu.filter(|&cpu| cpu >= cpus) {
            return Err(refused(&format!("cpu-num={cpu} does not exist: the machine has {cpus} vCPUs")));
        }
        let start = match &self.content {
            Content::File { path, address, force_raw } => load_file(path, *address, *force_raw, files, image)?,
            Content::Value { address, bytes } => {
                image.put_bytes("a loader's value", *address, bytes)?;
                *address
            }
            Content::Start { address } => *address,
        };
        if self.cpu != Some(0) {
            return Ok(None);
        }
        let start = u32::try_from(start)
            .map_err(|_| refused(&format!("vCPUs cannot start at {start:#x}: use less than 4 GiB")))?;
        Ok(Some(start))
    }
}

fn refused(reason: &str) -> BootError {
    BootError::Loader(reason.into())
}

fn value(data: u64, length: Option<u64>, big_endian: bool) -> Result<Vec<u8>, BootError> {
    let length = length.filter(|&length| length > 0).ok_or_else(|| refused("data= needs data-len=, 1 to 8"))?;
    if length < 8 && data >> (8 * length) != 0 {
        return Err(refused(&format!("data={data:#x} does not fit into data-len={length} bytes")));
    }
    let mut bytes = data.to_le_bytes()[..length as usize].to_vec();
    if big_endian {
        bytes.reverse();
    }
    Ok(bytes)
}

/// Loads a file; returns where it starts.
fn load_file(
    path: &Path,
    address: Option<u64>,
    raw: bool,
    files: &mut dyn Files,
    image: &mut Image<'_>,
) -> Result<u64, BootError> {
    let file = read_file("file", path, files, image.board())?;
    if !raw && is_elf(&file.bytes) {
        let elf = Elf::parse(&file)?;
        elf.load(&file, image)?;
        return Ok(elf.physical_entry());
    }
    let address = address.ok_or_else(|| refused(&format!("'{}' is no ELF image: it needs addr=", file.name)))?;
    image.put_bytes(&format!("'{}'", file.name), address, &file.bytes)?;
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::files::HostFiles;
    use reprise_core::board::Board;

    fn loader(given: &[(&str, &str)]) -> Result<Loader, BootError> {
        let given: Vec<_> = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Loader::new(&given)
    }

    #[test]
    fn values_are_stored_in_either_order() {
        let board = Board::new(1 << 20, 1).unwrap();
        let mut image = Image::new(&board);
        let little = [("addr", "0x1000"), ("data", "0x1234"), ("data-len", "4")];
        let big = [("addr", "0x2000"), ("data", "0x1234"), ("data-len", "4"), ("data-be", "on"), ("cpu-num", "0")];
        assert_eq!(loader(&little).unwrap().load(&mut HostFiles, &mut image).unwrap(), None);
        assert_eq!(loader(&big).unwrap().load(&mut HostFiles, &mut image).unwrap(), Some(0x2000));
        let memory = image.into_memory();
        assert_eq!(memory, [(0x1000, vec![0x34, 0x12, 0, 0]), (0x2000, vec![0, 0, 0x12, 0x34])]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for given in [
            &[][..],
            &[("addr", "0")],
            &[("file", "x"), ("data", "1")],
            &[("addr", "0"), ("data", "1")],
            &[("addr", "0"), ("data", "256"), ("data-len", "1")],
            &[("addr", "0"), ("data", "256"), ("data-len", "0")],
            &[("adr", "0")],
            &[("addr", "zero")],
        ] {
            assert!(loader(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn cpus_that_are_not_there_cannot_start() {
        let board = Board::new(1 << 20, 1).unwrap();
        let mut image = Image::new(&board);
        assert!(loader(&[("addr", "0"), ("cpu-num", "1")]).unwrap().load(&mut HostFiles, &mut image).is_err());
        assert!(
            loader(&[("addr", "0x100000000"), ("cpu-num", "0")]).unwrap().load(&mut HostFiles, &mut image).is_err()
        );
    }
}
