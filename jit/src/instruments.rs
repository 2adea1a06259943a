//! What the host learns of the JIT at work. Nothing of it reaches the guest.

use std::time::Duration;

use crate::code_memory::{CodeMemory, Mark, Used};
use crate::emitter::{Emitter, Side};
use crate::profile::{Profile, Stretch};
use crate::stats::{JitStats, Stopwatch};
use crate::translate::plan::Plan;

/// Counters, and what the host lent to see more.
#[derive(Default)]
pub struct Instruments {
    /// What has been counted.
    pub stats: JitStats,
    /// Measures translation.
    pub stopwatch: Option<Stopwatch>,
    /// Names translated code.
    pub profile: Option<Profile>,
}

impl Instruments {
    /// Time on the stopwatch, if there is one.
    pub(crate) fn time(&self) -> Duration {
        self.stopwatch.map_or(Duration::ZERO, |read| read())
    }

    /// A block of the guest code at `linear` was translated since `begun`, and lies in the code memory now.
    pub(crate) fn translated(&mut self, linear: u64, plan: &Plan, emitter: &Emitter, begun: Duration) {
        let stretch = |side| Stretch { address: emitter.base(side), code: emitter.code(side) };
        let (hot, cold) = (stretch(Side::Hot), stretch(Side::Cold));
        let host = Used { hot: hot.code.len(), cold: cold.code.len() };
        let time = self.time().saturating_sub(begun);
        self.stats.add_block(plan.native() as u64, plan.bytes, host, time);
        if let Some(profile) = &mut self.profile {
            profile.block(linear, hot, cold);
        }
    }

    /// Names the thunks, which are the hot code before `end`.
    pub(crate) fn name_thunks(&mut self, memory: &CodeMemory, end: Mark) {
        if let Some(profile) = &mut self.profile {
            let (address, code) = memory.hot_before(end);
            profile.thunk("reprise thunks", Stretch { address, code });
        }
    }
}
