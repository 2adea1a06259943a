//! The options that choose an engine, in Reprise's words and in QEMU's.

use super::values::{List, ticks};
use crate::engine::{EngineChoice, EngineKind};
use crate::usage::UsageError;
use clap::Args;
use reprise_core::clock::Tick;

/// The name of the two engines side by side.
const LOCKSTEP: &str = "lockstep";
/// Longest time between two comparisons.
const LONGEST_SLICE: Tick = 1_000_000_000_000;

/// Which engine runs the vCPUs.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct EngineOptions {
    /// What runs the vCPUs, or help for a list; lockstep[,slice=TICKS] runs two machines on two engines, and ends where
    /// they differ
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    engine: Option<String>,
    /// The same in QEMU's words: tcg
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    accel: Vec<String>,
}

impl EngineOptions {
    /// The choice: `-engine` counts more than `-accel`.
    pub(super) fn choice(&self) -> Result<EngineChoice, UsageError> {
        let accel = self.accel()?;
        match &self.engine {
            Some(text) => engine(text),
            None => Ok(accel.unwrap_or_default()),
        }
    }

    /// Whether a list is asked for.
    pub(super) fn asks_for_help(&self) -> bool {
        self.engine.iter().chain(&self.accel).any(|text| matches!(text.as_str(), "help" | "?"))
    }

    /// As in QEMU the first accelerator counts that there is.
    fn accel(&self) -> Result<Option<EngineChoice>, UsageError> {
        let mut refused = None;
        for text in &self.accel {
            match accelerator(text) {
                Ok(choice) => return Ok(Some(choice)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(None), Err)
    }
}

/// The list of engines.
pub(super) fn engines() -> String {
    let mut text = String::from("engines (no result depends on which one runs a machine):\n");
    for (name, kind) in EngineKind::ALL {
        let what = match kind {
            EngineKind::Interp => "the interpreter: slow, portable, and what others are compared with",
            EngineKind::Jit => "translates what is run often to host code: fast",
        };
        let default = if kind == EngineKind::DEFAULT { " (the default)" } else { "" };
        text += &format!("  {name:<10} {what}{default}\n");
    }
    text + "  lockstep   two engines side by side, compared every slice=TICKS (100000); ends where they differ\n"
}

fn engine(text: &str) -> Result<EngineChoice, UsageError> {
    let mut list = List::parse(text);
    let name = list.first.take().unwrap_or_default();
    let slice = list.take("slice");
    if name == LOCKSTEP {
        list.finish("-engine lockstep", &["slice"])?;
        return Ok(EngineChoice::Lockstep { slice: slice.map_or(Ok(EngineChoice::SLICE), |text| slice_of(&text))? });
    }
    let Some((_, kind)) = EngineKind::ALL.into_iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = EngineKind::ALL.iter().map(|(name, _)| *name).chain([LOCKSTEP]).collect();
        return Err(UsageError::unknown("engine", &name, &names));
    };
    list.finish(&format!("-engine {name}"), &[])?;
    match slice {
        Some(_) => Err(UsageError::new(format!("-engine {name} takes no slice: it is compared with nothing"))),
        None => Ok(EngineChoice::One(kind)),
    }
}

fn slice_of(text: &str) -> Result<Tick, UsageError> {
    let slice = ticks("-engine lockstep,slice", text)?;
    if (1..=LONGEST_SLICE).contains(&slice) {
        return Ok(slice);
    }
    Err(UsageError::new(format!("-engine lockstep,slice: '{text}' is not from 1 tick to {LONGEST_SLICE}")))
}

/// QEMU's translator is what ours stands in for; how it translates is its own affair.
fn accelerator(text: &str) -> Result<EngineChoice, UsageError> {
    let mut list = List::parse(text);
    let name = list.first.take().or_else(|| list.take("accel")).unwrap_or_default();
    match name.as_str() {
        "tcg" => {}
        "kvm" | "hvf" | "whpx" | "nvmm" | "xen" => {
            return Err(UsageError::new(format!(
                "-accel {name}: a run on the host's own CPU does not repeat; use -accel tcg, or -engine NAME"
            )));
        }
        _ => return Err(UsageError::unknown("accelerator", &name, &["tcg"])),
    }
    if let Some(thread) = list.take("thread").filter(|thread| thread != "single") {
        return Err(UsageError::new(format!(
            "-accel tcg,thread={thread}: all vCPUs run on one thread, in turns, so that a run repeats; use thread=single"
        )));
    }
    let single = list.take("one-insn-per-tb").is_some_and(|value| value == "on");
    ["tb-size", "split-wx"].iter().for_each(|name| drop(list.take(name)));
    list.finish("-accel tcg", &["thread", "one-insn-per-tb", "tb-size", "split-wx"])?;
    Ok(if single { EngineChoice::One(EngineKind::Interp) } else { EngineChoice::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(engine: Option<&str>, accel: &[&str]) -> Result<EngineChoice, String> {
        let accel = accel.iter().map(|text| String::from(*text)).collect();
        let options = EngineOptions { engine: engine.map(String::from), accel };
        options.choice().map_err(|error| error.to_string())
    }

    #[test]
    fn engines_by_name() {
        assert_eq!(choice(None, &[]), Ok(EngineChoice::One(EngineKind::DEFAULT)));
        for (name, kind) in EngineKind::ALL {
            assert_eq!(choice(Some(name), &["tcg"]), Ok(EngineChoice::One(kind)));
            assert_eq!(kind.name(), name);
            assert!(engines().contains(name));
        }
        assert_eq!(choice(Some("lockstep"), &[]), Ok(EngineChoice::Lockstep { slice: EngineChoice::SLICE }));
        let slow = choice(Some("lockstep,slice=3us"), &[]).unwrap();
        assert_eq!((slow, slow.spelling().as_str()), (EngineChoice::Lockstep { slice: 3000 }, "lockstep,slice=3000"));
    }

    #[test]
    fn qemus_words_lead_there_too() {
        for accel in [&["tcg"][..], &["kvm", "tcg"], &["tcg,thread=single,tb-size=64"], &["accel=tcg"]] {
            assert_eq!(choice(None, accel), Ok(EngineChoice::default()), "{accel:?}");
        }
        assert_eq!(choice(None, &["tcg,one-insn-per-tb=on"]), Ok(EngineChoice::One(EngineKind::Interp)));
    }

    #[test]
    fn refusals_name_the_thing() {
        for (engine, accel, start) in [
            (Some("fast"), &[][..], "unknown engine 'fast'\nvalid choices: interp"),
            (Some("interp,slice=3"), &[], "-engine interp takes no slice"),
            (Some("lockstep,slice=0"), &[], "-engine lockstep,slice: '0' is not from 1"),
            (Some("lockstep,slices=1"), &[], "unknown property of -engine lockstep 'slices'"),
            (None, &["kvm"], "-accel kvm: a run on the host's own CPU does not repeat"),
            (None, &["tgc"], "unknown accelerator 'tgc'; did you mean 'tcg'?"),
            (None, &["tcg,thread=multi"], "-accel tcg,thread=multi: all vCPUs run on one thread"),
        ] {
            let error = choice(engine, accel).expect_err("it is refused");
            assert!(error.starts_with(start), "{engine:?} {accel:?}: {error}");
        }
    }
}
