//! `monitor help`.

use super::{Answer, COMMANDS, Command, Monitor, find};

pub(super) const HELP: Command = Command {
    name: "help",
    arguments: "[COMMAND]",
    summary: "list the commands, or explain one",
    details: "",
    run: help,
};

fn help(_: &mut Monitor<'_>, arguments: &[&str]) -> Answer {
    match arguments {
        [] => Ok(overview()),
        [name, ..] => find(name).map(of),
    }
}

/// A line for each command.
pub(super) fn overview() -> String {
    let line = |command: &&Command| format!("{:<11} {}\n", command.name, command.summary);
    let lines: String = COMMANDS.iter().map(line).collect();
    format!("{lines}'help COMMAND' tells more; gdb's own commands (break, watch, reverse-continue ...) do the rest\n")
}

/// All about one command.
pub(super) fn of(command: &Command) -> String {
    let first = format!("{} {}", command.name, command.arguments);
    let details = if command.details.is_empty() { String::new() } else { format!("\n{}", command.details) };
    format!("{}\n{}{details}\n", first.trim_end(), command.summary)
}
