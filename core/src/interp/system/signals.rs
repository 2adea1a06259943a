//! What is taken at an instruction boundary (SDM vol. 3, table 6-2 Priority Among Concurrent Events).
//!
//! INIT, start-up IPIs and the reset after a triple fault are the machine's; task switches, machine checks and SMI are
//! not modelled.

use crate::cpu::{Activity, Exception, Flags, Shadow, Vector};
use crate::interp::exec::Exec;

impl Exec<'_> {
    /// At an instruction boundary within the budget: takes what comes first in the order of priority, if anything waits.
    /// That takes a tick: what its delivery brings about is taken at the next boundary, before the handler executes
    /// anything, and a guest whose deliveries bring about each other still moves time.
    pub(in crate::interp) fn take_signals(&mut self) -> bool {
        self.take_debug_trap() || self.take_nmi() || self.take_maskable()
    }

    fn is_awake(&self) -> bool {
        matches!(self.cpu.activity, Activity::Running | Activity::Halted)
    }

    fn take_debug_trap(&mut self) -> bool {
        if self.cpu.pending_debug == 0 || self.cpu.shadow == Shadow::MovSs || !self.is_awake() {
            return false;
        }
        self.budget -= 1;
        let bits = std::mem::take(&mut self.cpu.pending_debug);
        self.deliver_exception(Exception::debug(bits));
        true
    }

    fn take_nmi(&mut self) -> bool {
        let index = self.index();
        let open = !self.cpu.nmi_blocked && self.cpu.shadow != Shadow::MovSs && self.is_awake();
        if !open || !self.board.apics[index].state.nmi {
            return false;
        }
        self.budget -= 1;
        self.board.apics[index].state.nmi = false;
        self.cpu.nmi_blocked = true;
        self.deliver_interrupt(Vector::Nmi as u8);
        true
    }

    fn take_maskable(&mut self) -> bool {
        let index = self.index();
        let open = self.cpu.flags.has(Flags::IF) && self.cpu.shadow == Shadow::None && self.is_awake();
        if !open || !self.board.apics[index].has_maskable() {
            return false;
        }
        self.budget -= 1;
        // An acknowledge cycle that nobody answers wakes the vCPU all the same.
        self.cpu.activity = Activity::Running;
        if let Some(vector) = self.board.acknowledge_interrupt(index) {
            self.deliver_interrupt(vector);
        }
        true
    }
}
