//! Back ends and the front ends that they serve: routing of inputs, disks, and requests that wait for their answers.

use super::{Board, DeviceId};
use crate::backend::{ChardevId, DiskId, NetdevId};
use crate::clock::Tick;
use crate::device::DeviceInput;
use crate::disk::{Disk, DiskGeometry};
use crate::door::{HostInput, Room};
use crate::edit::{Edit, EditError};
use crate::request::{Pending, Question, REQUEST_LIMIT, Request};

/// Which front end a back end serves.
#[derive(Default)]
pub(super) struct Connections {
    /// With the port of the device.
    chardevs: Vec<(ChardevId, DeviceId, u32)>,
    netdevs: Vec<(NetdevId, DeviceId)>,
}

impl Board {
    /// Connects a character device to `port` of the front end that it serves; what a port is, the device says.
    pub fn connect_chardev(&mut self, chardev: ChardevId, device: DeviceId, port: u32) {
        self.connections.chardevs.push((chardev, device, port));
    }

    /// Connects a network to the front end that it serves.
    pub fn connect_netdev(&mut self, netdev: NetdevId, device: DeviceId) {
        self.connections.netdevs.push((netdev, device));
    }

    /// Adds a disk; the first one has the [`DiskId`] 0.
    pub fn add_disk(&mut self, geometry: DiskGeometry) -> DiskId {
        self.disks.push(Disk::new(geometry));
        DiskId(self.disks.len() as u16 - 1)
    }

    /// Every disk.
    pub fn disks(&self) -> impl Iterator<Item = (DiskId, &Disk)> {
        (0..).map(DiskId).zip(&self.disks)
    }

    pub(crate) fn disks_mut(&mut self) -> impl Iterator<Item = &mut Disk> {
        self.disks.iter_mut()
    }

    /// The disk `id`, which the configuration has.
    pub fn disk(&self, id: DiskId) -> &Disk {
        &self.disks[usize::from(id.0)]
    }

    /// The disk `id`, which the configuration has.
    pub fn disk_mut(&mut self, id: DiskId) -> &mut Disk {
        &mut self.disks[usize::from(id.0)]
    }

    /// The front end of a character device, and its port.
    fn chardev_front_end(&self, chardev: ChardevId) -> Option<(DeviceId, u32)> {
        self.connections.chardevs.iter().find(|(id, ..)| *id == chardev).map(|&(_, device, port)| (device, port))
    }

    fn netdev_front_end(&self, netdev: NetdevId) -> Option<DeviceId> {
        self.connections.netdevs.iter().find(|(id, _)| *id == netdev).map(|&(_, device)| device)
    }

    fn room(&self, device: DeviceId, port: u32) -> usize {
        self.devices[device.0 as usize].device.as_ref().map_or(0, |device| device.input_room(port))
    }

    /// Hands bytes of a character device to its front end.
    pub fn chardev_input(&mut self, chardev: ChardevId, bytes: &[u8]) {
        if let Some((id, port)) = self.chardev_front_end(chardev) {
            self.with_device(id, |device, ctx| device.input(DeviceInput::Bytes { port, bytes }, ctx));
        }
    }

    /// Tells the front end of a character device whether there is somebody at the other end.
    pub fn chardev_connected(&mut self, chardev: ChardevId, connected: bool) {
        if let Some((id, port)) = self.chardev_front_end(chardev) {
            self.with_device(id, |device, ctx| device.input(DeviceInput::Connected { port, connected }, ctx));
        }
    }

    /// Hands a frame from a network to its front end.
    pub fn frame_input(&mut self, netdev: NetdevId, frame: &[u8]) {
        if let Some(id) = self.netdev_front_end(netdev) {
            self.with_device(id, |device, ctx| device.input(DeviceInput::Frame(frame), ctx));
        }
    }

    /// Notes a request of a device. One that cannot be met is answered, too: as failed.
    pub(crate) fn request(&mut self, device: DeviceId, due: Tick, tag: u64, request: Request) {
        self.requests.add(due.max(self.now + 1), device, tag, request);
        self.request_leave();
    }

    /// Forgets the requests of a device.
    pub(crate) fn cancel_requests(&mut self, device: DeviceId) {
        self.requests.cancel(device);
    }

    /// Answers every request that is due, in order; `ask` stands at the door.
    pub fn answer_requests(&mut self, ask: &mut dyn FnMut(&Question) -> HostInput) {
        while let Some(pending) = self.requests.take_due(self.now) {
            let data = self.fetch(&pending, ask);
            let answer = DeviceInput::Answer { tag: pending.tag, data: data.as_deref() };
            self.with_device(pending.device, |device, ctx| device.input(answer, ctx));
        }
    }

    fn fetch(&self, pending: &Pending, ask: &mut dyn FnMut(&Question) -> HostInput) -> Option<Vec<u8>> {
        match pending.request {
            Request::Disk { length, .. } | Request::Random { length, .. } if length > REQUEST_LIMIT => None,
            Request::Disk { disk, offset, length } => self.fetch_disk(disk, offset, u64::from(length), ask),
            Request::Random { rng, length } => match ask(&Question::Random { rng, length }) {
                HostInput::Random { bytes, .. } if bytes.len() == length as usize => Some(bytes),
                other => panic!("the door answered a request for random bytes with {other:?}"),
            },
        }
    }

    fn fetch_disk(
        &self,
        id: DiskId,
        offset: u64,
        length: u64,
        ask: &mut dyn FnMut(&Question) -> HostInput,
    ) -> Option<Vec<u8>> {
        let disk = self.disks.get(usize::from(id.0)).filter(|disk| disk.contains(offset, length))?;
        let mut clusters = Vec::new();
        for cluster in disk.missing(offset, length) {
            match ask(&Question::Cluster { disk: id, cluster }) {
                HostInput::Cluster { data, .. } => clusters.push((cluster, data)),
                HostInput::ClusterFailed { .. } => return None,
                other => panic!("the door answered a request for a cluster with {other:?}"),
            }
        }
        let find = |wanted| {
            let at = clusters.binary_search_by_key(&wanted, |(cluster, _)| *cluster).ok()?;
            Some(clusters[at].1.as_slice())
        };
        disk.read(offset, length, find)
    }
}

impl Room for Board {
    fn chardev(&self, chardev: ChardevId) -> usize {
        self.chardev_front_end(chardev).map_or(0, |(device, port)| self.room(device, port))
    }

    fn netdev(&self, netdev: NetdevId) -> bool {
        self.netdev_front_end(netdev).is_some_and(|device| self.room(device, 0) > 0)
    }

    fn edit(&self, edit: &Edit) -> Result<(), EditError> {
        edit.check(self)
    }
}
