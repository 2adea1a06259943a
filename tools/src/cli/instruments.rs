//! The options that look at the JIT at work.

use super::values::List;
use crate::instruments::{InstrumentChoice, Naming};
use crate::usage::UsageError;
use clap::Args;
use std::path::PathBuf;

/// What may be seen of the JIT.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct InstrumentOptions {
    /// Print at the end what translation cost, on standard error
    #[arg(long, help_heading = "Looking inside")]
    jit_stats: bool,
    /// Name translated code for perf, map[,symbols=FILE] in /tmp/perf-PID.map, or dump[,symbols=FILE] in jit-PID.dump for
    /// perf inject --jit; FILE is the guest's System.map, or what nm writes
    #[arg(long, value_name = "KIND", help_heading = "Looking inside")]
    jit_profile: Option<String>,
}

impl InstrumentOptions {
    /// The choice.
    pub(super) fn choice(&self) -> Result<InstrumentChoice, UsageError> {
        let Some(text) = &self.jit_profile else {
            return Ok(InstrumentChoice { stats: self.jit_stats, ..InstrumentChoice::default() });
        };
        let mut list = List::parse(text);
        let kind = list.first.take().unwrap_or_default();
        let symbols = list.take("symbols").map(PathBuf::from);
        list.finish("-jit-profile", &["symbols"])?;
        let naming = match kind.as_str() {
            "map" => Naming::Map,
            "dump" => Naming::Dump,
            _ => return Err(UsageError::unknown("profile", &kind, &["map", "dump"])),
        };
        Ok(InstrumentChoice { stats: self.jit_stats, naming: Some(naming), symbols })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(profile: Option<&str>) -> Result<InstrumentChoice, String> {
        let options = InstrumentOptions { jit_stats: true, jit_profile: profile.map(String::from) };
        options.choice().map_err(|error| error.to_string())
    }

    #[test]
    fn profiles_by_name() {
        let plain = InstrumentChoice { stats: true, naming: None, symbols: None };
        assert_eq!(choice(None), Ok(plain.clone()));
        assert_eq!(choice(Some("map")), Ok(InstrumentChoice { naming: Some(Naming::Map), ..plain.clone() }));
        let symbols = Some(PathBuf::from("System.map"));
        let dump = InstrumentChoice { naming: Some(Naming::Dump), symbols, ..plain };
        assert_eq!(choice(Some("dump,symbols=System.map")), Ok(dump));
    }

    #[test]
    fn refusals_name_the_thing() {
        let start = |text| choice(Some(text)).expect_err("it is refused");
        assert!(start("maps").starts_with("unknown profile 'maps'; did you mean 'map'?"));
        assert!(start("map,symbol=x").starts_with("unknown property of -jit-profile 'symbol'"));
    }
}
