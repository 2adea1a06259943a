//! `-object filter-dump`: a network's frames in a file.

use crate::cli::values::List;
use crate::usage::UsageError;
use reprise_core::backend::NetdevId;
use reprise_core::property::number;
use std::path::PathBuf;

const NAMES: [&str; 6] = ["id", "netdev", "file", "maxlen", "queue", "status"];

/// As much of each frame as QEMU keeps unless the user says otherwise.
const DEFAULT_LIMIT: u64 = 65536;

/// A file for the frames of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpOption {
    /// Which network.
    pub netdev: NetdevId,
    /// The file.
    pub path: PathBuf,
    /// Most bytes of a frame that are kept.
    pub limit: u32,
}

/// The file that `-object text` of a replay describes. There networks have numbers, in the order in which the recorded
/// command line named them.
pub fn replayed_dump(text: &str) -> Result<DumpOption, UsageError> {
    let mut list = List::parse(text);
    let kind = list.first.take().or_else(|| list.take("qom-type")).unwrap_or_default();
    if kind != "filter-dump" {
        return Err(UsageError::unknown("object of a replay", &kind, &["filter-dump"]));
    }
    list.take("id");
    let find = |number: &str| {
        let expected = "networks of a recording have numbers from 0 on, in the order of its command line";
        number.parse().map_err(|_| UsageError::new(format!("-object '{text}': netdev={number}: {expected}")))
    };
    parse(text, list, find)
}

/// The file that `-object text` describes; `list` is the text without kind and id, and `find` finds networks.
pub(in crate::cli::values) fn parse(
    text: &str,
    mut list: List,
    find: impl FnOnce(&str) -> Result<u16, UsageError>,
) -> Result<DumpOption, UsageError> {
    let wrong = |what: &str| UsageError::new(format!("-object '{text}': {what}"));
    let netdev = list.take("netdev").ok_or_else(|| wrong("it has no network: add netdev=ID"))?;
    let path = list.take("file").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| wrong("it has no file: add file=FILE"))?;
    let limit = list.take("maxlen").map_or(Some(DEFAULT_LIMIT), |text| number(&text));
    let limit = limit.and_then(|limit| u32::try_from(limit).ok());
    let limit = limit.ok_or_else(|| wrong("maxlen= is a number of bytes"))?;
    if list.take("queue").is_some_and(|queue| queue != "all")
        || list.take("status").is_some_and(|status| status != "on")
    {
        return Err(wrong("frames of both directions are written, always: queue=all, status=on"));
    }
    list.finish("-object filter-dump", &NAMES)?;
    Ok(DumpOption { netdev: NetdevId(find(&netdev)?), path: path.into(), limit })
}
