//! `virtio-blk-pci`: a disk.
//!
//! Document: VIRTIO 1.2, 5.2 Block Device. Limits and identifiers are those of QEMU's device.
//!
//! Time is modelled, and has nothing to do with the host's disk:
//!
//! | request | ticks until it is done | of these, ticks in which its queue transfers nothing else |
//! | --- | --- | --- |
//! | read | 20 000, and 1 for 2 bytes | 1 for 2 bytes |
//! | write | 20 000, and 1 for 2 bytes | 1 for 2 bytes |
//! | flush | 50 000 | none |
//! | discard, write zeroes | 20 000 | none |
//! | identity, and what is refused | 2 000 | none |
//!
//! Queues are independent of each other. A transfer of more than 1 MiB goes in parts of so much, between which those of other
//! requests come; nothing else limits how many requests are under way.
//!
//! What a driver wrote is on the disk when it is told so, so a flush has nothing to wait for, and the cache that a driver can
//! switch is only a bit. What it discards reads as zeros.
//!
//! Not modelled: lifetime information, secure erase and zones.

mod registers;
#[cfg(test)]
mod tests;

use super::{Chain, VirtioDevice, VirtioIdentity, VirtioIo, attach as attach_pci, pci::virtio_properties};
use registers::{Config, Header, ID_SIZE, MOST_SECTORS, Range, WRITEBACK, feature, kind};
use reprise_core::backend::{BackendKind, DiskId};
use reprise_core::board::{Board, DeviceId};
use reprise_core::clock::Tick;
use reprise_core::device::DeviceInput;
use reprise_core::disk::{DiskGeometry, SECTOR_SIZE};
use reprise_core::property::{AttachError, Category, DeviceSpec, Properties, PropertyKind, PropertySpec};
use reprise_core::request::Request;
use serde::{Deserialize, Serialize};

/// Ticks that a read, a write, a discard takes beside its transfer.
const ACCESS: Tick = 20_000;
/// Ticks that a flush takes.
const FLUSH: Tick = 50_000;
/// Ticks that it takes to say something that needs no disk.
const REPLY: Tick = 2_000;
/// Bytes that are transferred in a tick.
const BYTES_PER_TICK: u64 = 2;
/// Most bytes that are transferred at once.
const PART: u64 = 1 << 20;

/// Most queues.
const MOST_QUEUES: usize = 64;
/// The sizes that queues can have, each as often as there can be queues.
static QUEUES: [[u16; MOST_QUEUES]; 9] = [
    [4; MOST_QUEUES],
    [8; MOST_QUEUES],
    [16; MOST_QUEUES],
    [32; MOST_QUEUES],
    [64; MOST_QUEUES],
    [128; MOST_QUEUES],
    [256; MOST_QUEUES],
    [512; MOST_QUEUES],
    [1024; MOST_QUEUES],
];

/// The declaration of the device.
pub const SPEC: DeviceSpec = DeviceSpec {
    name: "virtio-blk-pci",
    category: Category::Storage,
    bus: crate::pci::BUS,
    description: "virtio disk",
    user_creatable: true,
    properties: virtio_properties![
        PropertySpec {
            name: "drive",
            kind: PropertyKind::Backend(BackendKind::Disk),
            default: "",
            description: "the image",
        },
        PropertySpec {
            name: "serial",
            kind: PropertyKind::Text,
            default: "",
            description: "serial number, up to 20 bytes"
        },
        PropertySpec {
            name: "logical_block_size",
            kind: PropertyKind::Number(MOST_BLOCK_SIZE),
            default: "512",
            description: "bytes that are read or written at least: a power of two",
        },
        PropertySpec {
            name: "physical_block_size",
            kind: PropertyKind::Number(MOST_BLOCK_SIZE),
            default: "512",
            description: "bytes that are best written at once: a power of two",
        },
        PropertySpec {
            name: "num-queues",
            kind: PropertyKind::Number(MOST_QUEUES as u64),
            default: "1",
            description: "queues, so that vCPUs need not share one",
        },
        PropertySpec {
            name: "queue-size",
            kind: PropertyKind::Number(1024),
            default: "256",
            description: "descriptors of each queue: a power of two from 4 up",
        },
        PropertySpec {
            name: "config-wce",
            kind: PropertyKind::Bool,
            default: "on",
            description: "let the driver switch the write cache, of which there is none",
        },
        PropertySpec {
            name: "discard",
            kind: PropertyKind::Bool,
            default: "on",
            description: "let the driver discard"
        },
        PropertySpec {
            name: "write-zeroes",
            kind: PropertyKind::Bool,
            default: "on",
            description: "let the driver write zeros by their number",
        },
        PropertySpec {
            name: "share-rw",
            kind: PropertyKind::Bool,
            default: "off",
            description: "let other programs write to the image meanwhile",
        },
    ],
    attach,
};

/// Most bytes in a block, as in QEMU.
const MOST_BLOCK_SIZE: u64 = 2 << 20;

/// What is fixed about the device.
#[derive(Clone, Debug)]
struct Wiring {
    disk: DiskId,
    geometry: DiskGeometry,
    serial: [u8; ID_SIZE],
    block_size: u32,
    physical_block_exp: u8,
    queues: &'static [u16],
    config_wce: bool,
    discard: bool,
    write_zeroes: bool,
}

/// Everything that the guest can observe of the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkState {
    writeback: bool,
    /// By number of the queue.
    queues: Vec<QueueState>,
    /// What the next job is called.
    next_job: u64,
}

/// What a queue does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct QueueState {
    /// When the transfers so far are over.
    busy_until: Tick,
    jobs: Vec<Job>,
}

/// A request that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    id: u64,
    chain: Chain,
    /// When it, or a part of it, is done.
    due: Tick,
    work: Work,
}

/// What is left to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Work {
    /// Read from the disk; an answer to a request comes.
    Read(Transfer),
    /// Write to the disk, when the timer says so.
    Write(Transfer),
    /// Say how it went.
    Finish(Status),
}

/// Bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Transfer {
    /// Where on the disk.
    offset: u64,
    length: u64,
    /// Bytes of it that were transferred.
    done: u64,
}

impl Transfer {
    /// The bytes of the next part.
    fn part(self) -> u64 {
        self.length.saturating_sub(self.done).min(PART)
    }

    /// Where on the disk the next part begins.
    fn next(self) -> u64 {
        self.offset.wrapping_add(self.done)
    }

    /// After the next part; `None` if that was the last.
    fn after_part(self) -> Option<Self> {
        let done = self.done.wrapping_add(self.part());
        (done < self.length).then_some(Self { done, ..self })
    }
}

/// How a request went (5.2.6 Device Operation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    Ok = 0,
    IoErr = 1,
    Unsupp = 2,
}

/// The device.
#[derive(Debug)]
pub struct VirtioBlk {
    wiring: Wiring,
    state: BlkState,
}

fn attach(board: &mut Board, properties: &Properties) -> Result<DeviceId, AttachError> {
    let refused = |reason: String| AttachError::Invalid { device: SPEC.name, reason };
    let disk = properties.backend("drive").map(DiskId);
    let disk = disk.ok_or_else(|| refused("drive names no image: add drive=ID".into()))?;
    let geometry = board.disks().find(|(id, _)| *id == disk).map(|(_, disk)| disk.geometry());
    let geometry = geometry.ok_or_else(|| refused(format!("there is no disk {}", disk.0)))?;
    let wiring = wiring(disk, geometry, properties).map_err(refused)?;
    attach_pci(board, &SPEC, properties, VirtioBlk::new(wiring))
}

fn wiring(disk: DiskId, geometry: DiskGeometry, properties: &Properties) -> Result<Wiring, String> {
    let power_of_two = |name: &str, least: u64| {
        let value = properties.number(name);
        let good = value.is_power_of_two() && value >= least;
        good.then_some(value).ok_or_else(|| format!("{name}={value} is no power of two from {least} up"))
    };
    let (logical, physical) =
        (power_of_two("logical_block_size", SECTOR_SIZE)?, power_of_two("physical_block_size", SECTOR_SIZE)?);
    let queue_size = power_of_two("queue-size", 4)?;
    let queues = QUEUES.iter().find(|sizes| u64::from(sizes[0]) == queue_size).expect("every power of two is there");
    let count = properties.number("num-queues") as usize;
    if count == 0 {
        return Err("num-queues must be at least 1".into());
    }
    let mut serial = [0; ID_SIZE];
    serial.iter_mut().zip(properties.text("serial").bytes()).for_each(|(to, from)| *to = from);
    Ok(Wiring {
        disk,
        geometry,
        serial,
        block_size: logical as u32,
        physical_block_exp: (physical.max(logical) / logical).ilog2() as u8,
        queues: &queues[..count],
        config_wce: properties.flag("config-wce"),
        discard: properties.flag("discard"),
        write_zeroes: properties.flag("write-zeroes"),
    })
}

impl VirtioBlk {
    fn new(wiring: Wiring) -> Self {
        let state = power_on(&wiring);
        Self { wiring, state }
    }

    /// Takes up a request.
    fn start(&mut self, queue: usize, chain: Chain, io: &mut VirtioIo<'_, '_>) {
        if chain.writable_len() == 0 {
            // There is no place to say that it makes no sense.
            return io.fail();
        }
        let mut header = [0; 16];
        let whole = chain.read(0, &mut header, io.ctx()) == header.len();
        let work = if whole { self.work(Header::parse(&header), &chain, io) } else { Work::Finish(Status::IoErr) };
        let (ticks, due) = (self.ticks(&header, work), io.ctx().now());
        let id = self.state.next_job;
        self.state.next_job = id.wrapping_add(1);
        let job = Job { id, chain, due: due.saturating_add(ticks), work };
        self.go_on(queue, job, io);
    }

    /// What a request asks for; what needs no transfer is done at once, and told later.
    fn work(&mut self, header: Header, chain: &Chain, io: &mut VirtioIo<'_, '_>) -> Work {
        let read_only = self.wiring.geometry.read_only;
        let transfer = |length| self.transfer(header.sector, length);
        match header.kind {
            kind::IN => transfer(chain.writable_len() - 1).map_or(Work::Finish(Status::IoErr), Work::Read),
            kind::OUT if read_only => Work::Finish(Status::IoErr),
            kind::OUT => transfer(chain.readable_len() - Header::SIZE).map_or(Work::Finish(Status::IoErr), Work::Write),
            kind::FLUSH => Work::Finish(Status::Ok),
            kind::GET_ID => {
                let length = self.wiring.serial.len().min((chain.writable_len() - 1) as usize);
                chain.write(0, &self.wiring.serial[..length], io.ctx());
                Work::Finish(Status::Ok)
            }
            kind::DISCARD if self.wiring.discard => Work::Finish(self.zero(0, chain, io)),
            kind::WRITE_ZEROES if self.wiring.write_zeroes => Work::Finish(self.zero(Range::UNMAP, chain, io)),
            _ => Work::Finish(Status::Unsupp),
        }
    }

    /// A transfer of whole blocks of the disk.
    fn transfer(&self, sector: u64, length: u64) -> Option<Transfer> {
        let offset = sector.checked_mul(SECTOR_SIZE)?;
        let block = u64::from(self.wiring.block_size);
        let inside = offset.checked_add(length)? <= self.capacity() * SECTOR_SIZE;
        let whole = offset.is_multiple_of(block) && length.is_multiple_of(block);
        (inside && whole).then_some(Transfer { offset, length, done: 0 })
    }

    /// Discards or zeroes the range that a request names; `flags` are those that it can have.
    fn zero(&self, flags: u32, chain: &Chain, io: &mut VirtioIo<'_, '_>) -> Status {
        let mut range = [0; Range::SIZE as usize];
        if self.wiring.geometry.read_only {
            return Status::IoErr;
        }
        if chain.readable_len() != Header::SIZE + Range::SIZE {
            return Status::Unsupp;
        }
        chain.read(Header::SIZE, &mut range, io.ctx());
        let range = Range::parse(&range);
        if range.flags & !flags != 0 {
            return Status::Unsupp;
        }
        let transfer = self.transfer(range.sector, u64::from(range.sectors) * SECTOR_SIZE);
        let Some(transfer) = transfer.filter(|_| range.sectors <= MOST_SECTORS) else { return Status::IoErr };
        match io.ctx().disk(self.wiring.disk).zero(transfer.offset, transfer.length) {
            true => Status::Ok,
            false => Status::IoErr,
        }
    }

    /// The fixed ticks of a request.
    fn ticks(&self, header: &[u8; 16], work: Work) -> Tick {
        match (work, Header::parse(header).kind) {
            (Work::Read(_) | Work::Write(_), _) | (Work::Finish(Status::Ok), kind::DISCARD | kind::WRITE_ZEROES) => {
                ACCESS
            }
            (Work::Finish(Status::Ok), kind::FLUSH) => FLUSH,
            (Work::Finish(_), _) => REPLY,
        }
    }

    /// Begins the next part of a job, which is over at the job's due tick or later, when the queue is free for it.
    fn go_on(&mut self, queue: usize, mut job: Job, io: &mut VirtioIo<'_, '_>) {
        let now = io.ctx().now();
        let Some(state) = self.state.queues.get_mut(queue) else { return };
        if let Work::Read(transfer) | Work::Write(transfer) = job.work {
            let fixed = job.due.saturating_sub(now);
            state.busy_until = state.busy_until.max(now).saturating_add(transfer.part().div_ceil(BYTES_PER_TICK));
            job.due = state.busy_until.saturating_add(fixed);
        }
        if let Work::Read(transfer) = job.work {
            let (offset, length) = (transfer.next(), transfer.part() as u32);
            io.ctx().request(job.due, job.id, Request::Disk { disk: self.wiring.disk, offset, length });
        }
        state.jobs.push(job);
        self.arm(queue, io);
    }

    /// Arms the timer of a queue for the first job that waits for it.
    fn arm(&self, queue: usize, io: &mut VirtioIo<'_, '_>) {
        let jobs = self.state.queues.get(queue).map_or(&[][..], |state| &state.jobs);
        let timed = jobs.iter().filter(|job| !matches!(job.work, Work::Read(_)));
        match timed.map(|job| job.due).min() {
            Some(due) => io.ctx().arm(queue as u32, due),
            None => io.ctx().disarm(queue as u32),
        }
    }

    /// Takes the first job out that the timer of a queue is due for.
    fn take_due(&mut self, queue: usize, now: Tick) -> Option<Job> {
        let jobs = &mut self.state.queues.get_mut(queue)?.jobs;
        let is_due = |job: &Job| !matches!(job.work, Work::Read(_)) && job.due <= now;
        let at = (0..jobs.len()).filter(|&at| is_due(&jobs[at])).min_by_key(|&at| (jobs[at].due, jobs[at].id))?;
        Some(jobs.remove(at))
    }

    /// Goes on with a job whose time has come.
    fn advance(&mut self, queue: usize, mut job: Job, io: &mut VirtioIo<'_, '_>) {
        match job.work {
            Work::Finish(status) => finish(&job.chain, status, io),
            Work::Write(transfer) => match (self.write_part(&job.chain, transfer, io), transfer.after_part()) {
                (true, Some(rest)) => {
                    job.work = Work::Write(rest);
                    self.go_on(queue, job, io);
                }
                (true, None) => finish(&job.chain, Status::Ok, io),
                (false, _) => finish(&job.chain, Status::IoErr, io),
            },
            // Not on the timer.
            Work::Read(_) => {}
        }
    }

    /// What the device may not read is not written: without leave to master the bus it would be ones.
    fn write_part(&self, chain: &Chain, transfer: Transfer, io: &mut VirtioIo<'_, '_>) -> bool {
        if !io.is_ready() {
            return false;
        }
        let mut data = vec![0; transfer.part() as usize];
        chain.read(Header::SIZE.wrapping_add(transfer.done), &mut data, io.ctx());
        io.ctx().disk(self.wiring.disk).write(transfer.next(), &data)
    }

    /// Takes the job `id` out, with its queue.
    fn take_job(&mut self, id: u64) -> Option<(usize, Job)> {
        let mut queues = self.state.queues.iter_mut().enumerate();
        queues.find_map(|(queue, state)| {
            let at = state.jobs.iter().position(|job| job.id == id)?;
            Some((queue, state.jobs.remove(at)))
        })
    }

    /// What the image, or the overlay, has for a job.
    fn answered(&mut self, id: u64, data: Option<&[u8]>, io: &mut VirtioIo<'_, '_>) {
        let Some((queue, mut job)) = self.take_job(id) else { return };
        let (Work::Read(transfer), Some(data)) = (job.work, data) else {
            return finish(&job.chain, Status::IoErr, io);
        };
        job.chain.write(transfer.done, data, io.ctx());
        match transfer.after_part() {
            Some(rest) => {
                job.work = Work::Read(rest);
                self.go_on(queue, job, io);
            }
            None => finish(&job.chain, Status::Ok, io),
        }
    }

    /// Sectors of the disk: whole blocks.
    fn capacity(&self) -> u64 {
        let block = u64::from(self.wiring.block_size);
        self.wiring.geometry.size / block * (block / SECTOR_SIZE)
    }
}

/// Gives a request back. The status is the last byte that the device may write; the length is that of all these bytes, as
/// QEMU gives it.
fn finish(chain: &Chain, status: Status, io: &mut VirtioIo<'_, '_>) {
    let length = chain.writable_len();
    chain.write(length.saturating_sub(1), &[status as u8], io.ctx());
    io.push(chain, u32::try_from(length).unwrap_or(u32::MAX));
}

fn power_on(wiring: &Wiring) -> BlkState {
    BlkState { writeback: true, queues: vec![QueueState::default(); wiring.queues.len()], next_job: 0 }
}

impl VirtioDevice for VirtioBlk {
    type State = BlkState;

    fn identity(&self) -> VirtioIdentity {
        VirtioIdentity { device_type: 2, class: 0x01_0000, queues: self.wiring.queues }
    }

    fn features(&self) -> u64 {
        let always = feature::SEG_MAX | feature::GEOMETRY | feature::BLK_SIZE | feature::FLUSH | feature::TOPOLOGY;
        let Wiring { geometry, queues, config_wce, discard, write_zeroes, .. } = self.wiring;
        [
            (geometry.read_only, feature::RO),
            (config_wce, feature::CONFIG_WCE),
            (queues.len() > 1, feature::MQ),
            (discard, feature::DISCARD),
            (write_zeroes, feature::WRITE_ZEROES),
        ]
        .iter()
        .filter(|(offered, _)| *offered)
        .fold(always, |features, (_, bit)| features | bit)
    }

    fn config(&self) -> Vec<u8> {
        let Wiring { block_size, physical_block_exp, queues, discard, write_zeroes, .. } = self.wiring;
        let config = Config {
            capacity: self.capacity(),
            seg_max: u32::from(queues[0]) - 2,
            blk_size: block_size,
            physical_block_exp,
            writeback: self.state.writeback,
            num_queues: queues.len() as u16,
            discard,
            write_zeroes,
        };
        config.bytes()
    }

    fn write_config(&mut self, offset: u64, value: u8, io: &mut VirtioIo<'_, '_>) {
        if offset == WRITEBACK && io.features() & feature::CONFIG_WCE != 0 {
            self.state.writeback = value != 0;
        }
    }

    fn notified(&mut self, queue: u16, io: &mut VirtioIo<'_, '_>) {
        while let Some(chain) = io.pop(queue) {
            self.start(usize::from(queue), chain, io);
        }
    }

    fn timer(&mut self, slot: u32, io: &mut VirtioIo<'_, '_>) {
        let (queue, now) = (slot as usize, io.ctx().now());
        while let Some(job) = self.take_due(queue, now) {
            self.advance(queue, job, io);
        }
        self.arm(queue, io);
    }

    fn input(&mut self, input: DeviceInput<'_>, io: &mut VirtioIo<'_, '_>) {
        if let DeviceInput::Answer { tag, data } = input {
            self.answered(tag, data, io);
        }
    }

    fn input_room(&self, _port: u32) -> usize {
        0
    }

    fn reset(&mut self) {
        self.state = power_on(&self.wiring);
    }

    fn state(&self) -> &BlkState {
        &self.state
    }

    fn state_mut(&mut self) -> &mut BlkState {
        &mut self.state
    }
}
