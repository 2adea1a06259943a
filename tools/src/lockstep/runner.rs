//! What runs a machine for a command: one engine, or two in lockstep.

use super::Lockstep;
use crate::boot::files::Files;
use crate::engine::{EngineChoice, EngineKind};
use crate::machine::{self, MachineConfig};
use crate::{exit_status, say};
use anyhow::Result;
use reprise_core::clock::Tick;
use reprise_core::door::Door;
use reprise_core::machine::{End, Machine};

/// Runs a machine, with another one beside it if its user wants that.
pub(crate) struct Runner {
    beside: Option<Lockstep>,
}

impl Runner {
    /// What `choice` asks for beside a machine of `config`, which boots the same `files`. The caches of all engines are
    /// perturbed if there is a seed.
    pub(crate) fn new(
        choice: EngineChoice,
        first: &mut Machine,
        config: &MachineConfig,
        files: &mut dyn Files,
        perturb_caches: Option<u64>,
    ) -> Result<Self> {
        if let Some(seed) = perturb_caches {
            first.perturb_caches(seed);
        }
        let EngineChoice::Lockstep { slice } = choice else { return Ok(Self { beside: None }) };
        let mut lockstep = Lockstep::new(machine::build_from(config, EngineKind::COMPARED.make(), files)?, slice);
        lockstep.perturb(perturb_caches);
        Ok(Self { beside: Some(lockstep) })
    }

    /// Runs the machine until it ends, or `until` is reached, or the engines differ.
    pub(crate) fn run(&mut self, machine: &mut Machine, door: &mut dyn Door, until: Tick) -> End {
        match &mut self.beside {
            None => machine.run(door, until),
            Some(lockstep) => lockstep.run(machine, door, until),
        }
    }

    /// If the engines differ, says how, and which command shows that again; the exit status. The machine is somewhere else
    /// afterwards.
    pub(crate) fn tell(&mut self, machine: &mut Machine, command: &str) -> Option<u8> {
        say(&"the engines differ: narrowing");
        match self.beside.as_mut()?.explain(machine)? {
            Ok(difference) => say(&difference),
            Err(error) => say(&format_args!("the difference cannot be narrowed: {error}")),
        }
        say(&format_args!("to reproduce: {command}"));
        Some(exit_status::DIVERGED)
    }

    /// Whether the engines differ.
    pub(crate) fn is_different(&self) -> bool {
        self.beside.as_ref().is_some_and(Lockstep::is_different)
    }
}
