//! The common configuration structure.
//!
//! Document: VIRTIO 1.2, 4.1.4.3 Common configuration structure layout. A register is written by its own offset, 64-bit
//! ones by halves; reads may cut the structure anyhow.

use super::registers::{NOTIFY_MULTIPLIER, common, feature, status};
use super::transport::Transport;
use reprise_core::device::Width;

/// What a write asks of the whole device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// A reset.
    Reset,
    /// The driver is ready: the device looks at its queues.
    Ready,
}

impl Transport {
    pub(super) fn read_common(&self, offset: u64, width: Width) -> u64 {
        let bytes = self.common_bytes();
        let from = bytes.get(offset as usize..).unwrap_or_default();
        from.iter().take(width as usize).rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    /// All registers in order.
    fn common_bytes(&self) -> [u8; common::SIZE] {
        let mut bytes = [0; common::SIZE];
        let mut put = |offset: u64, value: &[u8]| bytes[offset as usize..][..value.len()].copy_from_slice(value);
        let state = &self.state.common;
        let half = |features: u64, select: u32| ((features >> (32 * (select & 1))) as u32).to_le_bytes();
        put(common::DEVICE_FEATURE_SELECT, &state.device_feature_select.to_le_bytes());
        if state.device_feature_select < 2 {
            put(common::DEVICE_FEATURE, &half(self.offered, state.device_feature_select));
        }
        put(common::DRIVER_FEATURE_SELECT, &state.driver_feature_select.to_le_bytes());
        if state.driver_feature_select < 2 {
            put(common::DRIVER_FEATURE, &half(state.driver_features, state.driver_feature_select));
        }
        put(common::CONFIG_MSIX_VECTOR, &state.config_vector.to_le_bytes());
        put(common::NUM_QUEUES, &(self.most.len() as u16).to_le_bytes());
        put(common::DEVICE_STATUS, &[state.status]);
        put(common::CONFIG_GENERATION, &[state.config_generation]);
        put(common::QUEUE_SELECT, &state.queue_select.to_le_bytes());
        if let Some(queue) = self.selected() {
            put(common::QUEUE_SIZE, &queue.size.to_le_bytes());
            put(common::QUEUE_MSIX_VECTOR, &queue.vector.to_le_bytes());
            put(common::QUEUE_ENABLE, &u16::from(queue.enabled).to_le_bytes());
            put(common::QUEUE_NOTIFY_OFF, &state.queue_select.to_le_bytes());
            put(common::QUEUE_DESC, &queue.descriptors.to_le_bytes());
            put(common::QUEUE_DRIVER, &queue.driver.to_le_bytes());
            put(common::QUEUE_DEVICE, &queue.device.to_le_bytes());
        }
        bytes
    }

    pub(super) fn write_common(&mut self, offset: u64, value: u32) -> Effect {
        let vector = self.vector(value as u16);
        let state = &mut self.state.common;
        match offset {
            common::DEVICE_FEATURE_SELECT => state.device_feature_select = value,
            common::DRIVER_FEATURE_SELECT => state.driver_feature_select = value,
            common::DRIVER_FEATURE => self.write_driver_features(value),
            common::CONFIG_MSIX_VECTOR => state.config_vector = vector,
            common::DEVICE_STATUS => return self.write_status(value as u8),
            common::QUEUE_SELECT => state.queue_select = value as u16,
            _ => self.write_queue(offset, value),
        }
        Effect::None
    }

    fn write_driver_features(&mut self, value: u32) {
        let agreed = self.has_status(status::FEATURES_OK);
        let state = &mut self.state.common;
        let shift = match state.driver_feature_select {
            select @ 0..2 if !agreed => 32 * select,
            _ => return,
        };
        state.driver_features = state.driver_features & !(0xffff_ffff << shift) | u64::from(value) << shift;
    }

    /// The driver goes from step to step (3.1.1 Driver Requirements: Device Initialization); bits stay until a reset.
    fn write_status(&mut self, value: u8) -> Effect {
        if value == 0 {
            return Effect::Reset;
        }
        let before = self.state.common.status;
        let mut new = value & status::WRITABLE & !before;
        if new & status::FEATURES_OK != 0 && !self.accepts_features() {
            new &= !status::FEATURES_OK;
        }
        self.state.common.status |= new;
        if new & status::DRIVER_OK != 0 { Effect::Ready } else { Effect::None }
    }

    /// Whether the driver took what it must, and nothing that was not offered (2.2.2 Device Requirements: Feature Bits).
    fn accepts_features(&self) -> bool {
        let features = self.state.common.driver_features;
        features & !self.offered == 0 && features & feature::VERSION_1 != 0
    }

    /// A register of the queue that is selected. Once it is enabled only its vector can be changed.
    fn write_queue(&mut self, offset: u64, value: u32) {
        let vector = self.vector(value as u16);
        let (format, agreed) = (self.format(), self.has_status(status::FEATURES_OK));
        let index = usize::from(self.state.common.queue_select);
        let Some(queue) = self.state.queues.get_mut(index) else { return };
        let most = self.most[index];
        match offset {
            common::QUEUE_MSIX_VECTOR => queue.vector = vector,
            _ if queue.enabled => {}
            common::QUEUE_SIZE if (1..=u32::from(most)).contains(&(value & 0xffff)) => queue.size = value as u16,
            common::QUEUE_ENABLE => queue.enabled = value & 0xffff == 1 && agreed && queue.fits(format, most),
            common::QUEUE_DESC..common::QUEUE_DRIVER => set_half(&mut queue.descriptors, offset, value),
            common::QUEUE_DRIVER..common::QUEUE_DEVICE => set_half(&mut queue.driver, offset, value),
            common::QUEUE_DEVICE..0x38 => set_half(&mut queue.device, offset, value),
            _ => {}
        }
    }

    /// The queue that a write to `offset` of the notification structure notifies.
    pub(super) fn notified_queue(offset: u64) -> u16 {
        (offset / NOTIFY_MULTIPLIER) as u16
    }
}

/// Sets the half of `register`, which is aligned to 8 bytes, that lies at `offset`.
fn set_half(register: &mut u64, offset: u64, value: u32) {
    match offset % 8 {
        0 => *register = *register & !0xffff_ffff | u64::from(value),
        4 => *register = *register & 0xffff_ffff | u64::from(value) << 32,
        _ => {}
    }
}
