//! Opening an image and the chain of images that it lies on.
//!
//! The library reads the formats; which files are opened, and how, is decided here: an image names the next one of its
//! chain itself, and may be anybody's.

use super::header::{Qcow2Header, check_qcow2, first_bytes, probe};
use super::lock::{Use, lock};
use super::{Backing, Format, Image, ImageError, ImageSpec, OpenImage, Writer, refcounts};
use imago::file::File as ImagoFile;
use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::{FormatAccess, StorageOpenOptions};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Most images in a chain.
const CHAIN_LIMIT: usize = 200;

/// The bytes in a sector.
const SECTOR_SIZE: u64 = 512;

/// An image, through the library.
pub(super) type Access = FormatAccess<ImagoFile>;

/// Opens an image with all that it lies on.
pub fn open(spec: &ImageSpec) -> Result<OpenImage, ImageError> {
    let Layer { file, format } = Layer::open(spec)?;
    let refused = |error: io::Error| refuse(&spec.path, error);
    let kept = file.try_clone().map_err(refused)?;
    let access = access(file, spec, format, false)?;
    let size = access.size().checked_next_multiple_of(SECTOR_SIZE).filter(|&size| size <= i64::MAX as u64);
    let size = size.ok_or_else(|| refuse(&spec.path, format!("is too large: {} bytes", access.size())))?;
    let writer = spec.writable.then(|| Writer::new(kept, spec.clone(), format)).transpose().map_err(refused)?;
    Ok(OpenImage { image: Box::new(ReadImage { path: spec.path.clone(), access, size }), writer })
}

/// An image of which only what it holds matters.
struct ReadImage {
    path: PathBuf,
    access: Access,
    size: u64,
}

impl Image for ReadImage {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<(), ImageError> {
        self.access
            .read(data, offset)
            .map_err(|error| refuse(&self.path, format!("cannot read at {offset:#x}: {error}")))
    }
}

/// The reason why the image at `path` cannot be used.
fn refuse(path: &Path, reason: impl ToString) -> ImageError {
    ImageError { path: path.into(), reason: reason.to_string() }
}

/// A file of a chain.
struct Layer {
    file: File,
    format: Format,
}

impl Layer {
    /// Opens and locks the file, and finds out its format.
    fn open(spec: &ImageSpec) -> Result<Self, ImageError> {
        let refused = |reason: String| refuse(&spec.path, reason);
        let file = open_file(&spec.path, spec.writable).map_err(refused)?;
        lock(&file, Use { writes: spec.writable, share_writes: spec.share_writes }, spec.locking).map_err(refused)?;
        let first = first_bytes(&file).map_err(|error| refuse(&spec.path, error))?;
        let format = spec.format.map_or_else(|| probe(&first), Ok).map_err(refused)?;
        if format == Format::Qcow2 {
            // Of a block device, too.
            let length = (&file).seek(SeekFrom::End(0)).map_err(|error| refuse(&spec.path, error))?;
            check_qcow2(&first, length).map_err(refused)?;
            if spec.writable {
                refcounts::check(&file, &Qcow2Header::new(&first), length).map_err(refused)?;
            }
        }
        Ok(Self { file, format })
    }
}

fn open_file(path: &Path, writable: bool) -> Result<File, String> {
    // A pipe would wait.
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(format!(
            "is {}, expected a file or a block device",
            if kind.is_dir() { "a directory" } else { "neither" }
        ));
    }
    OpenOptions::new().read(true).write(writable).open(path).map_err(|error| match writable {
        true => format!("cannot be written to: {error}; readonly=on or snapshot=on would only read it"),
        false => error.to_string(),
    })
}

/// The image in `file`, with all that it lies on; to write to if `writable`.
pub(super) fn access(file: File, spec: &ImageSpec, format: Format, writable: bool) -> Result<Access, ImageError> {
    chained(file, spec, format, writable, 1)
}

fn chained(file: File, spec: &ImageSpec, format: Format, writable: bool, depth: usize) -> Result<Access, ImageError> {
    let refused = |error: io::Error| refuse(&spec.path, error);
    if depth > CHAIN_LIMIT {
        return Err(refuse(&spec.path, format!("lies on more than {CHAIN_LIMIT} images; does one lie on itself?")));
    }
    let options = StorageOpenOptions::new().filename(&spec.path).write(writable);
    let storage = ImagoFile::from_open_file(file, options).map_err(refused)?;
    match format {
        Format::Raw => Raw::open_image(storage, writable).map(Access::new).map_err(refused),
        Format::Qcow2 => {
            let mut qcow2: Qcow2<ImagoFile> = Qcow2::open_image(storage, writable).map_err(refused)?;
            let backing = backing(&qcow2, spec)?;
            let backing = backing.map(|below| open_below(&below, &spec.path, depth)).transpose()?;
            qcow2.set_backing(backing);
            qcow2.set_data_file(None);
            Ok(Access::new(qcow2))
        }
    }
}

/// What a qcow2 image lies on.
fn backing(qcow2: &Qcow2<ImagoFile>, spec: &ImageSpec) -> Result<Option<ImageSpec>, ImageError> {
    match &spec.backing {
        Backing::Nothing => return Ok(None),
        Backing::Other(other) => return Ok(Some((**other).clone())),
        Backing::Own => {}
    }
    let Some(name) = qcow2.implicit_backing_file().filter(|name| !name.is_empty()) else { return Ok(None) };
    let format = qcow2.implicit_backing_format().map(|format| {
        let reason = || format!("its backing file '{name}' has the format '{format}', expected raw or qcow2");
        Format::find(format).ok_or_else(|| refuse(&spec.path, reason()))
    });
    Ok(Some(ImageSpec {
        path: beside(&spec.path, name),
        format: format.transpose()?,
        writable: false,
        backing: Backing::Own,
        ..spec.clone()
    }))
}

/// The file `name` as the image at `path` means it: beside it, unless the name says otherwise.
fn beside(path: &Path, name: &str) -> PathBuf {
    let name = name.strip_prefix("file:").unwrap_or(name);
    path.parent().map_or_else(|| name.into(), |folder| folder.join(name))
}

fn open_below(spec: &ImageSpec, above: &Path, depth: usize) -> Result<Access, ImageError> {
    let opened = Layer::open(spec).and_then(|layer| chained(layer.file, spec, layer.format, false, depth + 1));
    opened.map_err(|error| match depth {
        1 => refuse(above, format!("what it lies on: {error}")),
        _ => error,
    })
}
