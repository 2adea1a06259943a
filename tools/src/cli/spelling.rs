//! Both spellings of an option: QEMU's `-kernel FILE` and `--kernel FILE`, also `--kernel=FILE`.
//!
//! QEMU has no bundles of one-letter options, and takes whatever follows an option as its value, even if that begins with
//! a dash. So arguments are brought here into the one form that cannot be misread, `--name=value` or `-x=value`.

use super::values::is_gdb_address;
use crate::usage::UsageError;
use clap::{Arg, ArgAction, Command};
use std::iter::Peekable;

/// `args`, the program's name first, in canonical form.
pub(super) fn canonical(command: &Command, mut args: Vec<String>) -> Result<Vec<String>, UsageError> {
    let Some(subcommand) = args.get(1).and_then(|name| command.find_subcommand(name)) else {
        if let Some(first) = args.get_mut(1).filter(|first| matches!(first.as_str(), "-help" | "-version")) {
            first.insert(0, '-');
        }
        return Ok(args);
    };
    let mut args = args.into_iter().peekable();
    let mut canonical: Vec<_> = args.by_ref().take(2).collect();
    while let Some(arg) = args.next() {
        canonical.push(option(subcommand, &arg, &mut args)?);
    }
    Ok(canonical)
}

/// The option that `arg` spells, with its value, which may be the next argument.
fn option(
    command: &Command,
    arg: &str,
    rest: &mut Peekable<impl Iterator<Item = String>>,
) -> Result<String, UsageError> {
    let Some(spelled) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|name| !name.is_empty()) else {
        if command.get_positionals().next().is_some() {
            return Ok(arg.to_owned());
        }
        return Err(UsageError::new(format!(
            "'{arg}' is no option: options begin with a dash, and a kernel is named by -kernel FILE"
        )));
    };
    let (name, inline) = match spelled.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (spelled, None),
    };
    let found = command.get_arguments().find(|arg| is_called(arg, name));
    let found = found.ok_or_else(|| unknown(command, name))?;
    let canonical = match found.get_long() {
        Some(long) => format!("--{long}"),
        None => format!("-{name}"),
    };
    let takes_value = matches!(found.get_action(), ArgAction::Set | ArgAction::Append);
    match (takes_value, inline) {
        (false, None) => Ok(canonical),
        (false, Some(_)) => Err(UsageError::new(format!("option '-{name}' takes no value"))),
        (true, None) if needs_no_value(found) => match rest.next_if(|next| is_gdb_address(next)) {
            Some(value) => Ok(format!("{canonical}={value}")),
            None => Ok(canonical),
        },
        (true, inline) => match inline.or_else(|| rest.next()) {
            Some(value) => Ok(format!("{canonical}={value}")),
            None => Err(UsageError::new(format!("option '-{name}' needs a value: {}", value_name(found)))),
        },
    }
}

fn is_called(arg: &Arg, name: &str) -> bool {
    let mut buffer = [0; 4];
    arg.get_long() == Some(name)
        || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        || arg.get_short().is_some_and(|short| *name == *short.encode_utf8(&mut buffer))
}

/// Whether an option may stand alone. The only kind of value that such an option has is the address of a gdb server, by
/// which it is told from what follows the option.
fn needs_no_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.min_values() == 0)
}

fn value_name(arg: &Arg) -> String {
    arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn unknown(command: &Command, name: &str) -> UsageError {
    let name_of = |arg: &Arg| match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("-{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => String::new(),
    };
    let mut names: Vec<_> = command.get_arguments().map(name_of).filter(|name| !name.is_empty()).collect();
    names.sort_by_key(|name| name.to_lowercase());
    UsageError::unknown("option", &format!("-{name}"), &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let value = |arg: Arg| arg.action(ArgAction::Set);
        let run = Command::new("run")
            .arg(value(Arg::new("kernel").long("kernel").value_name("FILE")))
            .arg(value(Arg::new("memory").short('m').value_name("SIZE")))
            .arg(value(Arg::new("machine").short('M').long("machine")))
            .arg(Arg::new("stopped").short('S').action(ArgAction::SetTrue))
            .arg(value(Arg::new("gdb").long("gdb").num_args(0..=1)))
            .arg(Arg::new("no-reboot").long("no-reboot").action(ArgAction::SetTrue));
        let mut command = Command::new("reprise").subcommand(run);
        command.build();
        command
    }

    fn check(args: &str, expected: &str) {
        let args = ["reprise", "run"].into_iter().chain(args.split_whitespace()).map(String::from).collect();
        let canonical = canonical(&command(), args).map(|args| args[2..].join(" "));
        assert_eq!(canonical.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn one_dash_or_two() {
        check("-kernel a --kernel b --kernel=c", "--kernel=a --kernel=b --kernel=c");
        check("-m 1G --m 2G -S --S", "-m=1G -m=2G -S -S");
        check("-M q35 -machine q35 -no-reboot -help", "--machine=q35 --machine=q35 --no-reboot --help");
    }

    #[test]
    fn a_value_may_begin_with_a_dash() {
        check("-kernel -S -m -1", "--kernel=-S -m=-1");
    }

    #[test]
    fn a_value_may_be_missing() {
        check("-S -m", "option '-m' needs a value: SIZE");
        check("-no-reboot=off", "option '-no-reboot' takes no value");
    }

    #[test]
    fn a_value_that_may_be_missing_is_known_by_its_look() {
        check("-gdb -S --gdb tcp::1 -gdb=unix:x -gdb", "--gdb -S --gdb=tcp::1 --gdb=unix:x --gdb");
    }

    #[test]
    fn an_unknown_option_is_named_with_those_that_there_are() {
        check(
            "-kernle x",
            "unknown option '-kernle'; did you mean '-kernel'?\n\
             valid choices: -gdb, -help, -kernel, -m, -machine, -no-reboot, -S",
        );
    }

    #[test]
    fn what_comes_before_the_subcommand_may_have_one_dash_too() {
        let check = |args: &[&str], expected: &[&str]| {
            let args = args.iter().copied().map(String::from).collect();
            assert_eq!(canonical(&command(), args).unwrap(), expected);
        };
        check(&["reprise", "-version"], &["reprise", "--version"]);
        check(&["reprise", "walk", "-m", "1"], &["reprise", "walk", "-m", "1"]);
        check(&["reprise"], &["reprise"]);
    }
}
