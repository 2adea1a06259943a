//! `diversion`: what a debugger has changed, and going back to the recording.

use super::{Answer, Command, Monitor, position, usage};

pub(super) const DIVERSION: Command = Command {
    name: "diversion",
    arguments: "[drop]",
    summary: "say whether this is the recorded run, or drop what gdb has changed",
    details: "\
Writing to a register or to memory, and calling a function, leave the recording for a diversion. It can be walked in both
directions, too, and the recording stays as it was. 'drop' forgets all changes and goes to where the first was made.",
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
        _ => Err(usage(&DIVERSION)),
    }
}
