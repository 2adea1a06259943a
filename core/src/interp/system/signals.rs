//! What is taken at an instruction boundary (SDM vol. 3, table 6-2 Priority Among Concurrent Events).
//!
//! INIT, start-up IPIs and the reset after a triple fault are the machine's; task switches, machine checks and SMI are
//! not modelled.

use crate::cpu::{Activity, Exception, Flags, Shadow, Vector};
use crate::interp::exec::Exec;

impl Exec<'_> {
    /// At an instruction boundary: takes what waits there, in the order of priority.
    pub(in crate::interp) fn take_signals(&mut self) {
        self.take_debug_traps();
        self.take_nmi();
        self.take_maskable();
    }

    fn is_awake(&self) -> bool {
        matches!(self.cpu.activity, Activity::Running | Activity::Halted)
    }

    fn take_debug_traps(&mut self) {
        if self.cpu.pending_debug != 0 && self.cpu.shadow != Shadow::MovSs && self.is_awake() {
            let bits = std::mem::take(&mut self.cpu.pending_debug);
            self.deliver_exception(Exception::debug(bits));
        }
    }

    fn take_nmi(&mut self) {
        let index = self.index();
        if !self.board.apics[index].state.nmi || self.cpu.nmi_blocked {
            return;
        }
        if self.cpu.shadow != Shadow::MovSs && self.is_awake() {
            self.board.apics[index].state.nmi = false;
            self.cpu.nmi_blocked = true;
            self.deliver_interrupt(Vector::Nmi as u8);
        }
    }

    fn take_maskable(&mut self) {
        let index = self.index();
        let open = self.cpu.flags.has(Flags::IF) && self.cpu.shadow == Shadow::None && self.is_awake();
        if !open || !self.board.apics[index].has_maskable() {
            return;
        }
        // An acknowledge cycle that nobody answers wakes the vCPU all the same.
        self.cpu.activity = Activity::Running;
        if let Some(vector) = self.board.acknowledge_interrupt(index) {
            self.deliver_interrupt(vector);
        }
    }
}
