//! `diversion`: what a debugger has changed, and going back to the recording.

use super::{Answer, Command, Monitor, position, usage};

pub(super) const DIVERSION: Command = Command {
    name: "diversion",
    arguments: "[drop|save FILE]",
    summary: "say whether this is the recorded run; drop what gdb has changed, or save it",
    details: "\
Writing to a register or to memory, and calling a function, leave the recording for a diversion. It can be walked in both
directions, too, and the recording stays as it was. 'drop' forgets all changes and goes to where the first was made. 'save'
makes a new recording of the run up to here, with the changes: FILE must not be there yet.",
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
            let (timeline, watcher) = monitor.moving()?;
            let bytes = timeline.save(file.as_ref(), watcher).map_err(|error| error.to_string())?;
            Ok(format!("saved up to here in '{file}', {bytes} bytes: replay it with: reprise replay {file}"))
        }
        _ => Err(usage(&DIVERSION)),
    }
}
