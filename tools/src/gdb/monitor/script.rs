//! `gdb-script`: what gdb needs to know of the monitor.

use super::{Answer, Command, Monitor, usage};

pub(super) const GDB_SCRIPT: Command = Command {
    name: "gdb-script",
    arguments: "",
    summary: "print gdb's side of these commands: seek, when, last-write",
    details: "\
gdb remembers registers and memory while the target stands still, and does not expect it to move by a monitor command.
The script makes gdb forget them after each, and adds commands of gdb's own: seek, when, and last-write with an
expression. In a gdb with Python, this loads it:
  python gdb.execute(gdb.execute('monitor gdb-script', to_string=True))
Without it, after each 'monitor seek' type: maintenance flush register-cache",
    run: |_: &mut Monitor<'_>, arguments: &[&str]| -> Answer {
        if arguments.is_empty() { Ok(include_str!("reprise.gdb").into()) } else { Err(usage(&GDB_SCRIPT)) }
    },
};
