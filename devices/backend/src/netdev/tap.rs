//! A network that is an interface of the host's kernel: `tap`.
//!
//! Document: Linux, Documentation/networking/tuntap.rst (Universal TUN/TAP device driver). Frames carry no header in
//! front (`vnet_hdr=off`), so the kernel itself completes checksums and cuts segments before it hands them over.

use super::endpoint;
use super::patience::Patience;
use super::{FRAME_LIMIT, Netdev, NetdevError};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Where interfaces come from.
const CLONE_DEVICE: &str = "/dev/net/tun";

/// Longest name of an interface.
const NAME_LIMIT: usize = 15;

/// A tap that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapOptions {
    /// An interface by name.
    Interface {
        /// The name; empty lets the host choose one. It is made if it is not there.
        name: String,
        /// A program that configures it, called with its name.
        script: Option<PathBuf>,
        /// A program that takes the configuration back at the end, called with its name.
        downscript: Option<PathBuf>,
    },
    /// A descriptor of a tap that somebody else opened, without a header in front of frames.
    Descriptor(i32),
}

/// A tap.
pub struct Tap {
    /// Gone if the interface is.
    device: Option<OwnedFd>,
    name: String,
    downscript: Option<PathBuf>,
    patience: Patience,
    buffer: Vec<u8>,
}

impl Tap {
    /// Opens a tap.
    pub fn open(options: TapOptions) -> Result<Self, NetdevError> {
        let (device, name, script, downscript) = match options {
            TapOptions::Descriptor(number) => {
                let (device, name) = inherit(number)?;
                (device, name, None, None)
            }
            TapOptions::Interface { name, script, downscript } => {
                let (device, name) = open_interface(&name)?;
                (device, name, script, downscript)
            }
        };
        script.map_or(Ok(()), |script| run_script(&script, &name))?;
        let buffer = vec![0; FRAME_LIMIT];
        Ok(Self { device: Some(device), name, downscript, patience: Patience::default(), buffer })
    }

    /// What the interface is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn lose(&mut self, error: Errno) {
        log::warn!(target: "netdev", "the interface {} has gone: {error}: the guest's network is silent from now on", self.name);
        self.device = None;
        self.patience.end();
    }
}

fn open_interface(name: &str) -> Result<(OwnedFd, String), NetdevError> {
    if name.len() > NAME_LIMIT || name.contains(['/', '\0']) {
        return Err(NetdevError::Invalid(format!(
            "'{name}' names no interface: expected up to {NAME_LIMIT} characters"
        )));
    }
    let device = rustix::fs::open(CLONE_DEVICE, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let device = device.map_err(|error| {
        NetdevError::Invalid(match error {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => {
                format!("cannot open {CLONE_DEVICE}: {error}: this host has no tap interfaces; use -netdev user, say")
            }
            error => format!("cannot open {CLONE_DEVICE}: {error}; -netdev user needs no privilege"),
        })
    })?;
    let given = if name.is_empty() { "tap%d" } else { name };
    match attach(&device, given) {
        Ok(name) => Ok((device, name)),
        Err(error @ Errno::PERM) => Err(NetdevError::Invalid(format!(
            "cannot open tap interface '{given}': {error}; make one for yourself with \
             'ip tuntap add dev {given} mode tap user $USER', or use -netdev user, which needs no privilege"
        ))),
        Err(error) => Err(NetdevError::Open { name: format!("tap interface '{given}'"), source: error.into() }),
    }
}

/// Frames, not packets.
const IFF_TAP: u16 = 2;
/// Without information in front of them.
const IFF_NO_PI: u16 = 0x1000;
/// With a header for offloads in front of them.
const IFF_VNET_HDR: u16 = 0x4000;
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const TUNGETIFF: Opcode = opcode::read::<u32>(b'T', 210);

/// `struct ifreq` of `linux/if.h` as these two use it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_LIMIT + 1],
    flags: u16,
    rest: [u8; 22],
}

impl InterfaceRequest {
    /// A request for the interface `name`, which is short enough.
    fn new(name: &str, flags: u16) -> Self {
        let mut request = Self { name: [0; NAME_LIMIT + 1], flags, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        request
    }

    /// Asks the kernel, with `TUNSETIFF` or `TUNGETIFF`.
    fn ask<const OPCODE: Opcode>(&mut self, device: &OwnedFd) -> Result<(), Errno> {
        const { assert!(OPCODE == TUNSETIFF || OPCODE == TUNGETIFF) };
        const { assert!(size_of::<Self>() == 40) };
        #[expect(unsafe_code, reason = "there is no safe call for it")]
        // SAFETY: for both the kernel reads and writes a `struct ifreq`, which is 40 bytes, as this is, and plain data.
        unsafe {
            ioctl(device, Updater::<OPCODE, _>::new(self))
        }
    }

    fn name(&self) -> String {
        self.name.iter().take_while(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect()
    }
}

/// Makes `device` the interface `name`, in which `%d` is replaced; its name.
fn attach(device: &OwnedFd, name: &str) -> Result<String, Errno> {
    let mut request = InterfaceRequest::new(name, IFF_TAP | IFF_NO_PI);
    request.ask::<TUNSETIFF>(device)?;
    Ok(request.name())
}

/// A tap that somebody else opened, and its name.
fn inherit(number: i32) -> Result<(OwnedFd, String), NetdevError> {
    let device = endpoint::inherited(number)?;
    let mut request = InterfaceRequest::new("", 0);
    let wrong = |what: &str| Err(NetdevError::Invalid(format!("descriptor {number} {what}")));
    match request.ask::<TUNGETIFF>(&device) {
        Err(_) => wrong("is no tap interface"),
        Ok(()) if request.flags & IFF_TAP == 0 => wrong("is no tap interface but carries packets without frames"),
        Ok(()) if request.flags & IFF_NO_PI == 0 || request.flags & IFF_VNET_HDR != 0 => {
            wrong("has headers in front of frames: open it with IFF_NO_PI, and without IFF_VNET_HDR")
        }
        Ok(()) => Ok((device, request.name())),
    }
}

fn run_script(script: &std::path::Path, interface: &str) -> Result<(), NetdevError> {
    let name = format!("network script '{}'", script.display());
    let status = Command::new(script).arg(interface).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(NetdevError::Invalid(format!("{name} for interface {interface} failed: {status}"))),
        Err(source) => Err(NetdevError::Open { name, source }),
    }
}

impl Netdev for Tap {
    fn send(&mut self, frame: &[u8]) {
        let Some(device) = &self.device else { return };
        match rustix::io::write(device, frame) {
            Ok(_) => self.patience.begin(),
            Err(error @ Errno::BADFD) => self.lose(error),
            // The interface is down, or full: the frame is lost.
            Err(_) => {}
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        match rustix::io::read(self.device.as_ref()?, &mut self.buffer[..]) {
            Ok(count) => Some(self.buffer[..count].to_vec()),
            Err(error @ Errno::BADFD) => {
                self.lose(error);
                None
            }
            Err(_) => None,
        }
    }

    fn sources(&self) -> Vec<PollFd<'_>> {
        self.device.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect()
    }

    fn timeout(&self) -> Option<Duration> {
        self.patience.left()
    }

    fn expects_answer(&self) -> bool {
        self.patience.lasts()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(script) = &self.downscript
            && let Err(error) = run_script(script, &self.name)
        {
            log::warn!(target: "netdev", "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rustix::event::{Timespec, poll};
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// Says that the test runs in a network namespace of its own.
    const ALONE: &str = "REPRISE_TEST_IN_NETWORK_NAMESPACE";

    /// Whether this host can have taps in network namespaces: a matter of privilege, and of the kernel.
    fn host_can() -> bool {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--net", "ip", "tuntap", "add", "dev", "probe", "mode", "tap"])
            .output()
            .is_ok_and(|o| o.status.success())
    }

    #[test]
    fn the_kernel_at_the_other_end() {
        if std::env::var_os(ALONE).is_some() {
            return talk_to_the_kernel();
        }
        if !host_can() {
            return eprintln!("not tested: this host lets us have no tap in a network namespace");
        }
        let this = std::env::current_exe().unwrap();
        let mut alone = Command::new("unshare");
        alone.arg("--net").arg(this).args([
            "--exact",
            "netdev::tap::tests::the_kernel_at_the_other_end",
            "--nocapture",
        ]);
        let output = alone.env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn script(path: &Path, text: &str) -> Option<PathBuf> {
        std::fs::write(path, format!("#!/bin/sh -e\n{text}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(path.into())
    }

    /// The next frame of an Ethernet type.
    fn next(tap: &mut Tap, kind: u16) -> Vec<u8> {
        for _ in 0..100 {
            poll(&mut tap.sources(), Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).unwrap();
            let frame = tap.receive().expect("a frame");
            if frame[12..14] == kind.to_be_bytes() {
                return frame;
            }
        }
        panic!("no frame of type {kind:#x}");
    }

    fn talk_to_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let up = script(&folder.path().join("up"), "ip addr add 10.9.0.1/24 dev $1; ip link set $1 up");
        let down = script(&folder.path().join("down"), &format!("echo $1 > {}", mark.display()));
        let options = TapOptions::Interface { name: "test%d".into(), script: up, downscript: down };
        let mut tap = Tap::open(options).unwrap();
        assert_eq!(tap.name(), "test0");
        let host = UdpSocket::bind("10.9.0.1:0").unwrap();
        host.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        host.send_to(b"hello", (Ipv4Addr::new(10, 9, 0, 2), 7)).unwrap();

        let request = next(&mut tap, 0x0806);
        tap.send(&answer_to(&request));
        assert!(tap.patience.has_begun());
        let datagram = next(&mut tap, 0x0800);
        assert!(datagram.ends_with(b"hello"));
        tap.send(&returned(&datagram));
        assert_eq!(host.recv(&mut [0; 100]).unwrap(), 5);

        assert!(Command::new("ip").args(["link", "del", "test0"]).status().unwrap().success());
        assert_eq!((tap.receive(), tap.sources().len(), tap.expects_answer()), (None, 0, false));
        tap.send(&[0; 60]);
        drop(tap);
        let (device, _) = open_interface("given").unwrap();
        assert_eq!(Tap::open(TapOptions::Descriptor(device.as_raw_fd())).unwrap().name(), "given");
        assert_eq!(std::fs::read_to_string(mark).unwrap(), "test0\n");
    }

    /// The answer to a question for our hardware address, which is 2:0:0:0:0:2.
    fn answer_to(request: &[u8]) -> Vec<u8> {
        let own = [2, 0, 0, 0, 0, 2];
        let (asker, asked) = (&request[22..32], &request[38..42]);
        let head = [&asker[..6], &own, &request[12..20], &[0, 2]].concat();
        [&head[..], &own, asked, asker].concat()
    }

    /// A datagram, sent back: neither checksum changes when the ends are exchanged.
    fn returned(datagram: &[u8]) -> Vec<u8> {
        let swap = |range: std::ops::Range<usize>| {
            let middle = range.len() / 2 + range.start;
            [&datagram[middle..range.end], &datagram[range.start..middle]].concat()
        };
        [swap(0..12), datagram[12..26].to_vec(), swap(26..34), swap(34..38), datagram[38..].to_vec()].concat()
    }

    #[test]
    fn names_that_no_interface_has_are_refused() {
        for name in ["much-too-long-a-name", "a/b"] {
            let error = open_interface(name).unwrap_err().to_string();
            assert!(error.contains("names no interface"), "{error}");
        }
    }

    #[test]
    fn a_descriptor_must_be_a_tap() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = inherit(file.as_raw_fd()).unwrap_err().to_string();
        assert_eq!(error, format!("descriptor {} is no tap interface", file.as_raw_fd()));
    }

    #[test]
    fn scripts_that_fail_are_named() {
        let error = run_script("/nowhere/up".as_ref(), "tap0").unwrap_err().to_string();
        assert!(error.starts_with("cannot open network script '/nowhere/up': No such file"), "{error}");
        let error = run_script("/bin/false".as_ref(), "tap0").unwrap_err().to_string();
        assert_eq!(error, "network script '/bin/false' for interface tap0 failed: exit status: 1");
        run_script("/bin/true".as_ref(), "tap0").unwrap();
    }
}
