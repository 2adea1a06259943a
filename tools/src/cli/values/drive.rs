//! `-drive` and `-blockdev`: disk images.

use super::{List, Named};
use crate::usage::UsageError;
use std::path::PathBuf;

/// A disk image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveBackend {
    /// The file.
    pub path: PathBuf,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// Adds the image that `-drive text` describes to `drives`.
pub fn add_drive(text: &str, drives: &mut Named<DriveBackend>) -> Result<(), UsageError> {
    let mut list = List::parse(text);
    let (id, path, read_only) = (list.take("id"), list.take("file"), list.take("read-only").or(list.take("readonly")));
    list.finish("-drive", &["id", "file", "read-only"])?;
    let path = path.filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| UsageError::new(format!("-drive '{text}' has no image: add file=FILE")))?;
    let backend = DriveBackend { path: path.into(), read_only: read_only.as_deref() == Some("on") };
    drives.add(&id.unwrap_or_default(), backend).map(drop)
}
