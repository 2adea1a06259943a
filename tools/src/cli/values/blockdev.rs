//! `-blockdev`: disk images as a graph of nodes, in QEMU's dotted notation or in JSON.

use super::drive::{DriveBackend, Keep, format, image, locking_of, on_or_off, take_without_effect};
use super::{List, Named};
use crate::usage::UsageError;
use reprise_backend::blockdev::{Backing, ImageSpec};
use serde_json::Value;
use std::collections::BTreeMap;

/// What `-blockdev driver=` takes.
const DRIVERS: [&str; 4] = ["file", "host_device", "raw", "qcow2"];

/// A value of `-blockdev`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tree {
    /// A word; the empty one for JSON's null.
    Word(String),
    Members(BTreeMap<String, Tree>),
}

/// A node of the graph.
struct Node {
    name: String,
    drive: DriveBackend,
    /// A file, whose format another node says.
    is_file: bool,
    /// Whether another node stands on it.
    is_used: bool,
}

/// The nodes so far.
#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
}

/// Adds the images that all the `-blockdev` describe to `drives`: each node on which no other stands.
pub fn add_blockdevs(texts: &[String], drives: &mut Named<DriveBackend>) -> Result<(), UsageError> {
    let mut graph = Graph::default();
    for text in texts {
        let node = graph.node(members(text)?)?;
        if node.name.is_empty() {
            return Err(UsageError::new(format!("-blockdev '{text}' has no name: add node-name=ID")));
        }
        graph.nodes.push(node);
    }
    graph
        .nodes
        .into_iter()
        .filter(|node| !node.is_used)
        .try_for_each(|node| drives.add(&node.name, node.drive).map(drop))
}

impl Graph {
    /// The node that `members` describe.
    fn node(&mut self, mut members: BTreeMap<String, Tree>) -> Result<Node, UsageError> {
        let driver = take_word(&mut members, "driver")?.unwrap_or_default();
        let name = take_word(&mut members, "node-name")?.unwrap_or_default();
        let read_only = take_switch(&mut members, "read-only")?;
        let force_share = take_switch(&mut members, "force-share")?;
        take_without_effect("-blockdev", |name| match members.get(name) {
            Some(Tree::Word(_)) => take_word(&mut members, name).ok().flatten(),
            Some(Tree::Members(_)) | None => None,
        })?;
        if let Some(Tree::Members(cache)) = members.get_mut("cache") {
            take_without_effect("-blockdev", |name| take_word(cache, name.strip_prefix("cache.")?).ok().flatten())?;
            refuse_rest(std::mem::take(cache), "-blockdev cache", &["direct", "no-flush"])?;
            members.remove("cache");
        }
        let is_file = matches!(driver.as_str(), "file" | "host_device");
        let mut drive = match driver.as_str() {
            "file" | "host_device" => file(&mut members)?,
            "raw" | "qcow2" => self.formatted(&driver, &mut members)?,
            "" => return Err(UsageError::new("-blockdev names no driver: add driver=qcow2, say")),
            other => return Err(UsageError::unknown("driver of -blockdev", other, &DRIVERS)),
        };
        refuse_rest(members, &format!("-blockdev driver={driver}"), properties(&driver))?;
        drive.read_only |= read_only;
        if force_share {
            (drive.image.share_writes, drive.image.locking) = (true, locking_of("-blockdev", Some("off"))?);
        }
        Ok(Node { name, drive, is_file, is_used: false })
    }

    /// A format, over a file.
    fn formatted(&mut self, driver: &str, members: &mut BTreeMap<String, Tree>) -> Result<DriveBackend, UsageError> {
        let file = members.remove("file");
        let file = file.ok_or_else(|| {
            let form = "file=NODE, or file.driver=file,file.filename=FILE";
            UsageError::new(format!("-blockdev driver={driver} has no file: add {form}"))
        })?;
        let file = self.child(file)?;
        if !file.is_file {
            return Err(UsageError::new(format!("-blockdev driver={driver}: its file is no driver=file")));
        }
        let backing = if driver == "qcow2" { members.remove("backing") } else { None };
        let backing = match backing {
            None => Backing::Own,
            Some(Tree::Word(name)) if name.is_empty() => Backing::Nothing,
            Some(backing) => Backing::Other(Box::new(self.child(backing)?.drive.image)),
        };
        let image = ImageSpec { format: Some(format("-blockdev", driver)?), backing, ..file.drive.image };
        Ok(DriveBackend { image, ..file.drive })
    }

    /// A node that another stands on: by name, or described in place.
    fn child(&mut self, tree: Tree) -> Result<Node, UsageError> {
        let name = match tree {
            Tree::Members(members) => return self.node(members),
            Tree::Word(name) => name,
        };
        let names: Vec<_> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let unknown = || {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            UsageError::unknown("node of an earlier -blockdev", &name, &names)
        };
        let node = self.nodes.iter_mut().find(|node| node.name == name).ok_or_else(unknown)?;
        node.is_used = true;
        Ok(Node { name, drive: node.drive.clone(), is_file: node.is_file, is_used: true })
    }
}

fn properties(driver: &str) -> &'static [&'static str] {
    match driver {
        "raw" => &["node-name", "file", "read-only", "force-share"],
        "qcow2" => &["node-name", "file", "backing", "read-only", "force-share"],
        _ => &["node-name", "filename", "locking", "read-only", "force-share"],
    }
}

fn file(members: &mut BTreeMap<String, Tree>) -> Result<DriveBackend, UsageError> {
    let path = take_word(members, "filename")?.filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| UsageError::new("-blockdev driver=file has no file: add filename=FILE"))?;
    let locking = locking_of("-blockdev", take_word(members, "locking")?.as_deref())?;
    // Without a node that says otherwise a file is a raw image.
    let image = ImageSpec { format: Some(format("-blockdev", "raw")?), locking, ..image(&path) };
    Ok(DriveBackend { image, read_only: false, keep: Keep::Unsaid })
}

fn take_word(members: &mut BTreeMap<String, Tree>, name: &str) -> Result<Option<String>, UsageError> {
    match members.remove(name) {
        None => Ok(None),
        Some(Tree::Word(word)) => Ok(Some(word)),
        Some(Tree::Members(_)) => Err(UsageError::new(format!("-blockdev '{name}' is a word, and has no members"))),
    }
}

fn take_switch(members: &mut BTreeMap<String, Tree>, name: &str) -> Result<bool, UsageError> {
    take_word(members, name)?.map_or(Ok(false), |value| on_or_off("-blockdev", name, &value))
}

fn refuse_rest(members: BTreeMap<String, Tree>, option: &str, choices: &[&str]) -> Result<(), UsageError> {
    match members.into_keys().next() {
        Some(name) => Err(UsageError::unknown(&format!("property of {option}"), &name, choices)),
        None => Ok(()),
    }
}

/// The members of what `-blockdev text` describes.
fn members(text: &str) -> Result<BTreeMap<String, Tree>, UsageError> {
    if !text.starts_with('{') {
        return dotted(text);
    }
    let value = serde_json::from_str(text);
    let value = value.map_err(|error| UsageError::new(format!("-blockdev '{text}' is no JSON: {error}")))?;
    match of_json(value)? {
        Tree::Members(members) => Ok(members),
        Tree::Word(_) => unreachable!("it begins as an object does"),
    }
}

fn of_json(value: Value) -> Result<Tree, UsageError> {
    Ok(Tree::Word(match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| Ok((name, of_json(value)?)));
            return members.collect::<Result<_, UsageError>>().map(Tree::Members);
        }
        Value::Null => String::new(),
        Value::Bool(value) => if value { "on" } else { "off" }.into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text,
        Value::Array(_) => return Err(UsageError::new("-blockdev takes no lists")),
    }))
}

fn dotted(text: &str) -> Result<BTreeMap<String, Tree>, UsageError> {
    let list = List::parse(text);
    let mut members = BTreeMap::new();
    let driver = list.first.map(|driver| ("driver".to_owned(), driver));
    for (path, value) in driver.into_iter().chain(list.items) {
        put(&mut members, &path, value)?;
    }
    Ok(members)
}

fn put(members: &mut BTreeMap<String, Tree>, path: &str, value: String) -> Result<(), UsageError> {
    let Some((first, rest)) = path.split_once('.') else {
        members.insert(path.into(), Tree::Word(value));
        return Ok(());
    };
    match members.entry(first.into()).or_insert_with(|| Tree::Members(BTreeMap::new())) {
        Tree::Members(inner) => put(inner, rest, value),
        Tree::Word(_) => Err(UsageError::new(format!("-blockdev '{first}' is a word, and has no '{rest}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_backend::blockdev::{Format, Locking};
    use reprise_core::backend::BackendKind;
    use std::path::Path;

    fn drives(texts: &[&str]) -> Result<Named<DriveBackend>, UsageError> {
        let mut drives = Named::new(BackendKind::Disk);
        let texts: Vec<_> = texts.iter().copied().map(String::from).collect();
        add_blockdevs(&texts, &mut drives).map(|()| drives)
    }

    #[test]
    fn one_node_with_its_file_in_place() {
        let dotted = "driver=qcow2,node-name=x,file.driver=file,file.filename=y,,z,read-only=on,cache.direct=on";
        let json = r#"{"driver": "qcow2", "node-name": "x", "file": {"driver": "file", "filename": "y,z"},
                       "read-only": true, "cache": {"direct": true}}"#;
        for text in [dotted, json] {
            let drives = drives(&[text]).unwrap();
            let [drive] = drives.backends() else { panic!("one drive") };
            assert_eq!((drives.ids()[0].as_str(), drive.read_only), ("x", true));
            assert_eq!((drive.image.path.as_path(), drive.image.format), (Path::new("y,z"), Some(Format::Qcow2)));
            assert_eq!(drive.image.backing, Backing::Own);
        }
    }

    #[test]
    fn nodes_on_nodes_are_one_drive() {
        let drives = drives(&[
            "file,node-name=f,filename=top,locking=off",
            "driver=file,node-name=b,filename=base,auto-read-only=on",
            "driver=raw,node-name=r,file=b",
            "driver=qcow2,node-name=top,file=f,backing=r",
            "driver=file,node-name=alone,filename=c,force-share=on",
            r#"{"driver": "qcow2", "node-name": "none", "backing": null, "file": {"driver": "file", "filename": "d"}}"#,
        ]);
        let drives = drives.unwrap();
        assert_eq!(drives.ids(), ["top", "alone", "none"]);
        let [top, alone, none] = drives.backends() else { panic!("three drives") };
        let Backing::Other(base) = &top.image.backing else { panic!("{top:?}") };
        assert_eq!((base.path.as_path(), base.format), (Path::new("base"), Some(Format::Raw)));
        assert_eq!((top.image.path.as_path(), top.image.locking), (Path::new("top"), Locking::Off));
        assert_eq!((alone.image.format, alone.share_rw()), (Some(Format::Raw), true));
        assert_eq!(none.image.backing, Backing::Nothing);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (texts, part) in [
            (&["driver=qcow2,node-name=x,file=f"][..], "unknown node of an earlier -blockdev 'f'"),
            (&["driver=nbd,node-name=x"], "unknown driver of -blockdev 'nbd'"),
            (&["node-name=x"], "names no driver"),
            (&["driver=file,filename=a"], "has no name: add node-name=ID"),
            (&["driver=file,node-name=x"], "has no file: add filename=FILE"),
            (&["driver=raw,node-name=x"], "has no file: add file=NODE"),
            (&["driver=raw,node-name=x,file.driver=raw"], "has no file"),
            (
                &["driver=file,node-name=a,filename=f", "raw,node-name=b,file=a", "raw,node-name=c,file=b"],
                "no driver=file",
            ),
            (
                &["driver=raw,node-name=x,offset=1,file.driver=file,file.filename=y"],
                "unknown property of -blockdev driver=raw",
            ),
            (&["driver=raw,backing=x,node-name=x,file.driver=file,file.filename=y"], "unknown property"),
            (&["driver=file,node-name=x,filename.a=y"], "'filename' is a word"),
            (&["driver=file,node-name=x,filename=y,filename.a=y"], "'filename' is a word"),
            (&["driver=file,node-name=x,filename=y,read-only=7"], "unknown value of -blockdev read-only"),
            (&["{\"driver\": 7"], "is no JSON"),
            (&["{\"driver\": [7]}"], "takes no lists"),
        ] {
            let error = drives(texts).expect_err(texts[0]).to_string();
            assert!(error.contains(part), "{texts:?}: {error}");
        }
    }
}
