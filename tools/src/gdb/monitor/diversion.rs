//! `diversion`: what a debugger has changed, and going back to the recording.

use super::{Answer, Command, Monitor, position, usage};
use std::ffi::OsStr;
use std::path::Path;

pub(super) const DIVERSION: Command = Command {
    name: "diversion",
    arguments: "[drop|save FILE]",
    summary: "say whether this is the recorded run; drop what gdb has changed, or save it",
    details: "\
Writing to a register or to memory, and calling a function, leave the recording for a diversion. It can be walked in both
directions, too, and the recording stays as it was. 'drop' forgets all changes and goes to where the first was made. 'save'
makes a new recording of the run up to here, with the changes. FILE is made in the folder where the server was started,
and must not be there yet.",
    run: diversion,
};

fn diversion(monitor: &mut Monitor<'_>, arguments: &[&str]) -> Answer {
    let diverted = monitor.timeline()?.diverted_at();
    match (arguments, diverted) {
        ([], _) => Ok(position::position(monitor)),
        (["drop"], None) => Err("nothing was changed: this is the recorded run".into()),
        (["drop"], Some(_)) => {
            let (timeline, watcher) = monitor.moving()?;
            let stop = timeline.rejoin(watcher);
            position::arrived(monitor, &stop)
        }
        (["save", file], _) => {
            if !is_plain(file) {
                return Err(format!("'{}' is no name of a file without a folder", file.escape_debug()));
            }
            let (timeline, watcher) = monitor.moving()?;
            let bytes = timeline.save(file.as_ref(), watcher).map_err(|error| error.to_string())?;
            Ok(format!("saved up to here in '{file}', {bytes} bytes: replay it with: reprise replay {file}"))
        }
        _ => Err(usage(&DIVERSION)),
    }
}

/// Whether `file` names a file in the folder where the server is. Who sends commands is not trusted with others.
fn is_plain(file: &str) -> bool {
    Path::new(file).file_name() == Some(OsStr::new(file)) && !file.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_folders() {
        assert!(is_plain("other.rpr") && is_plain("..rpr") && is_plain("-o"));
        for file in ["", ".", "..", "/x", "a/b", "../x", "x/", "x/.", "a\u{7}"] {
            assert!(!is_plain(file), "{file:?}");
        }
    }
}
