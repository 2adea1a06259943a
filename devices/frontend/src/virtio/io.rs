//! What a device may do with its transport during one call.

use super::chain::Chain;
use super::pci::Transport;
use reprise_core::clock::Tick;
use reprise_core::device::Context;

/// Timers from here on are the transport's: the number of a queue that it goes on with follows.
pub const FIRST_TRANSPORT_TIMER: u32 = 0xffff_0000;

/// After so many ticks the transport goes on with a queue of which one call took enough.
const PAUSE: Tick = 10_000;

/// What a device may do with its transport during one call.
pub struct VirtioIo<'a, 'b> {
    transport: &'a mut Transport,
    ctx: &'a mut Context<'b>,
    /// How many chains this call took from each queue.
    taken: Vec<u16>,
}

impl<'a, 'b> VirtioIo<'a, 'b> {
    pub(super) fn new(transport: &'a mut Transport, ctx: &'a mut Context<'b>) -> Self {
        ctx.set_bus_master(transport.is_bus_master());
        Self { transport, ctx, taken: Vec::new() }
    }

    /// The world beside the transport: time, timers, requests, disks, output.
    pub fn ctx(&mut self) -> &mut Context<'b> {
        self.ctx
    }

    /// The features that driver and device agreed on; none before they did.
    pub fn features(&self) -> u64 {
        self.transport.features()
    }

    /// Whether the driver is there, and nothing keeps the device from its queues.
    pub fn is_ready(&self) -> bool {
        self.transport.is_ready()
    }

    /// Takes the next buffer of a queue. There is none if the queue is empty or not enabled, if the device is not ready,
    /// or if the ring turns out broken, which calls [`fail`](Self::fail).
    ///
    /// One call gets as many as the ring has room for at most, as a hostile driver can make a ring that fills itself; if
    /// there are more then, the device is notified later.
    pub fn pop(&mut self, queue: u16) -> Option<Chain> {
        if self.is_exhausted(queue) {
            self.go_on_later(queue);
            return None;
        }
        let chain = self.transport.pop(queue, self.ctx)?;
        self.taken[usize::from(queue)] += 1;
        Some(chain)
    }

    /// Notifies the device of a queue again after a moment, if anything is in it: one call did enough.
    pub fn go_on_later(&mut self, queue: u16) {
        if self.has_available(queue) {
            let deadline = self.ctx.now().saturating_add(PAUSE);
            self.ctx.arm(FIRST_TRANSPORT_TIMER + u32::from(queue), deadline);
        }
    }

    /// Whether this call took as many chains as the ring of `queue` has room for.
    fn is_exhausted(&mut self, queue: u16) -> bool {
        let at = usize::from(queue);
        if self.taken.len() <= at {
            self.taken.resize(at + 1, 0);
        }
        self.taken[at] >= self.transport.queue_size(queue)
    }

    /// Whether [`pop`](Self::pop) would find a buffer.
    pub fn has_available(&mut self, queue: u16) -> bool {
        self.transport.has_available(queue, self.ctx)
    }

    /// Gives a buffer back, into which `written` bytes were written, with an interrupt if the driver wants one.
    pub fn push(&mut self, chain: &Chain, written: u32) {
        self.transport.push(chain, written, self.ctx);
    }

    /// Tells the driver that the device configuration space changed.
    pub fn config_changed(&mut self) {
        self.transport.config_changed(self.ctx);
    }

    /// The driver did what cannot be gone on from: nothing but a reset helps (2.1.2 Device Requirements: Device Status
    /// Field).
    pub fn fail(&mut self) {
        self.transport.fail("a request that makes no sense", self.ctx);
    }
}
