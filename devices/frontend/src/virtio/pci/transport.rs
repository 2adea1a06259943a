//! The state that driver and transport share, and the device's way to its queues and interrupts.
//!
//! Document: VIRTIO 1.2, 2.1 Device Status Field, 2.2 Feature Bits, 3.1 Device Initialization, 4.1.5.3 Used Buffer
//! Notifications, 4.1.5.4 Notification of Device Configuration Changes.

use super::registers::{feature, isr, status};
use crate::pci::msix::{Msix, MsixState};
use crate::pci::{ConfigSpace, Layout};
use crate::virtio::NO_VECTOR;
use crate::virtio::chain::Chain;
use crate::virtio::queue::{Broken, Format, Queue};
use reprise_core::device::Context;
use reprise_core::state::StateError;
use serde::{Deserialize, Serialize};

/// Everything that the guest can observe of a transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TransportState {
    pub(super) config: ConfigSpace,
    pub(super) msix: Option<MsixState>,
    pub(super) common: Common,
    pub(super) queues: Vec<Queue>,
}

/// What a reset by the driver clears, beside the queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Common {
    pub(super) status: u8,
    pub(super) isr: u8,
    pub(super) config_generation: u8,
    pub(super) config_vector: u16,
    pub(super) device_feature_select: u32,
    pub(super) driver_feature_select: u32,
    pub(super) driver_features: u64,
    pub(super) queue_select: u16,
}

impl Common {
    const RESET: Self = Self {
        status: 0,
        isr: 0,
        config_generation: 0,
        config_vector: NO_VECTOR,
        device_feature_select: 0,
        driver_feature_select: 0,
        driver_features: 0,
        queue_select: 0,
    };
}

/// A transport: wiring, and state.
#[derive(Debug)]
pub(in crate::virtio) struct Transport {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    pub(super) msix: Option<Msix>,
    /// Offset of the capability that is a window to the structures.
    pub(super) window: u16,
    /// Feature bits of device and transport.
    pub(super) offered: u64,
    /// Most descriptors of each queue.
    pub(super) most: &'static [u16],
    pub(super) state: TransportState,
}

impl Transport {
    /// Puts everything but configuration space and the table of MSI-X into its state after power-on.
    pub(super) fn reset_common(&mut self, ctx: &mut Context<'_>) {
        let generation = self.state.common.config_generation;
        self.state.common = Common { config_generation: generation, ..Common::RESET };
        self.state.queues = queues(self.most);
        if let Some(msix) = &mut self.state.msix {
            msix.forget_pending();
        }
        self.drive_pin(ctx);
    }

    pub(in crate::virtio) fn is_bus_master(&self) -> bool {
        self.state.config.is_bus_master()
    }

    pub(in crate::virtio) fn features(&self) -> u64 {
        if self.has_status(status::FEATURES_OK) { self.state.common.driver_features } else { 0 }
    }

    pub(in crate::virtio) fn is_ready(&self) -> bool {
        let agreed = self.has_status(status::FEATURES_OK) && self.has_status(status::DRIVER_OK);
        agreed && !self.has_status(status::NEEDS_RESET) && self.is_bus_master()
    }

    pub(super) fn has_status(&self, bit: u8) -> bool {
        self.state.common.status & bit != 0
    }

    /// What the features that were agreed on say of rings.
    pub(super) fn format(&self) -> Format {
        let has = |bit| self.features() & bit != 0;
        Format {
            packed: has(feature::RING_PACKED),
            event_idx: has(feature::EVENT_IDX),
            indirect: has(feature::INDIRECT_DESC),
        }
    }

    /// The queue `number` if the device can work with it now.
    fn usable(&mut self, number: u16) -> Option<&mut Queue> {
        let ready = self.is_ready();
        self.state.queues.get_mut(usize::from(number)).filter(|queue| ready && queue.enabled)
    }

    /// Whether the device can work with the queue `number` now.
    pub(super) fn is_usable(&mut self, number: u16) -> bool {
        self.usable(number).is_some()
    }

    pub(in crate::virtio) fn queue_size(&self, number: u16) -> u16 {
        self.state.queues.get(usize::from(number)).map_or(0, |queue| queue.size)
    }

    pub(in crate::virtio) fn has_available(&mut self, number: u16, ctx: &mut Context<'_>) -> bool {
        let format = self.format();
        let Some(queue) = self.usable(number) else { return false };
        let available = queue.has_available(format, ctx);
        self.check_ring(number, available, ctx).unwrap_or(false)
    }

    pub(in crate::virtio) fn pop(&mut self, number: u16, ctx: &mut Context<'_>) -> Option<Chain> {
        let format = self.format();
        let chain = self.usable(number)?.pop(number, format, ctx);
        self.check_ring(number, chain, ctx).flatten()
    }

    fn check_ring<T>(&mut self, number: u16, result: Result<T, Broken>, ctx: &mut Context<'_>) -> Option<T> {
        let Broken(reason) = match result {
            Ok(value) => return Some(value),
            Err(broken) => broken,
        };
        log::debug!(target: "guest_errors", "{}: queue {number}: {reason}", self.name);
        self.fail(reason, ctx);
        None
    }

    pub(in crate::virtio) fn push(&mut self, chain: &Chain, written: u32, ctx: &mut Context<'_>) {
        let format = self.format();
        let Some(queue) = self.usable(chain.queue) else { return };
        let vector = queue.vector;
        if queue.push(chain, written, format, ctx) {
            self.interrupt(vector, isr::QUEUE, ctx);
        }
    }

    pub(in crate::virtio) fn config_changed(&mut self, ctx: &mut Context<'_>) {
        let common = &mut self.state.common;
        common.config_generation = common.config_generation.wrapping_add(1);
        if self.has_status(status::DRIVER_OK) {
            self.interrupt(self.state.common.config_vector, isr::CONFIG, ctx);
        }
    }

    pub(in crate::virtio) fn fail(&mut self, reason: &str, ctx: &mut Context<'_>) {
        if self.has_status(status::NEEDS_RESET) {
            return;
        }
        log::debug!(target: "guest_errors", "{}: needs a reset: {reason}", self.name);
        self.state.common.status |= status::NEEDS_RESET;
        if self.has_status(status::DRIVER_OK) {
            self.interrupt(self.state.common.config_vector, isr::CONFIG, ctx);
        }
    }

    fn interrupt(&mut self, vector: u16, bit: u8, ctx: &mut Context<'_>) {
        self.state.common.isr |= bit;
        if let (Some(msix), Some(state)) = (self.msix, &mut self.state.msix) {
            msix.notify(state, &self.state.config, vector, ctx);
        }
        self.drive_pin(ctx);
    }

    /// The pin follows the ISR status while MSI-X is off.
    pub(super) fn drive_pin(&mut self, ctx: &mut Context<'_>) {
        let messages = self.msix.is_some_and(|msix| msix.is_enabled(&self.state.config));
        self.state.config.set_interrupt(&self.layout, self.state.common.isr != 0 && !messages, ctx);
    }

    /// A vector that the driver may choose; there is none beyond the table.
    pub(super) fn vector(&self, wanted: u16) -> u16 {
        if self.msix.is_some_and(|msix| wanted < msix.vectors()) { wanted } else { NO_VECTOR }
    }

    /// The queue that the driver selected.
    pub(super) fn selected(&self) -> Option<&Queue> {
        self.state.queues.get(usize::from(self.state.common.queue_select))
    }

    /// Refuses saved state that this transport cannot have.
    pub(super) fn check(&self, state: &TransportState) -> Result<(), StateError> {
        match (self.msix, &state.msix) {
            (Some(msix), Some(saved)) => msix.check(self.name, saved)?,
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => return Err(self.malformed("MSI-X that is there only once")),
        }
        let agreed = state.common.status & status::FEATURES_OK != 0;
        let features = if agreed { state.common.driver_features } else { 0 };
        if state.queues.len() != self.most.len() || features & !self.offered != 0 {
            return Err(self.malformed("queues or features that it does not have"));
        }
        let packed = features & feature::RING_PACKED != 0;
        let format = Format { packed, event_idx: false, indirect: false };
        let fits = |(queue, &most): (&Queue, &u16)| !queue.enabled || agreed && queue.fits(format, most);
        if !state.queues.iter().zip(self.most).all(fits) {
            return Err(self.malformed("a ring that cannot be"));
        }
        Ok(())
    }

    fn malformed(&self, reason: &str) -> StateError {
        StateError::Malformed { part: self.name.into(), reason: reason.into() }
    }
}

/// All queues after reset.
fn queues(most: &[u16]) -> Vec<Queue> {
    most.iter().map(|&size| Queue::new(size)).collect()
}

impl TransportState {
    pub(super) fn power_on(layout: &Layout, msix: Option<Msix>, most: &[u16]) -> Self {
        let msix = msix.map(|msix| msix.power_on());
        Self { config: layout.power_on(), msix, common: Common::RESET, queues: queues(most) }
    }
}
