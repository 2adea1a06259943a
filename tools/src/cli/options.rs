//! The options of `reprise run`, and the plan that they make.

use super::engine::{self, EngineOptions};
use super::gdb::GdbOptions;
use super::gdb::check_engine;
use super::instruments::InstrumentOptions;
use super::values::{
    BackendOptions, Chardevs, DEFAULT_RTC_BASE, DefaultDisks, DeviceOption, List, add_blockdevs, add_default_rngs,
    add_disk, add_drive, add_netdev, add_nic, add_object, chardev_help, check_adapters, cpus, log_items, memory_size,
    netdev_help, rtc_base, settle_drives, ticks,
};
use super::{Request, help};
use crate::engine::EngineChoice;
use crate::instruments::InstrumentChoice;
use crate::machine::{BootConfig, DeviceConfig, MACHINES, MachineConfig};
use crate::usage::UsageError;
use clap::{ArgAction, Args};
use reprise_backend::Pace;
use reprise_backend::chardev::Address;
use reprise_core::backend::ChardevId;
use reprise_core::clock::Tick;
use reprise_core::cpu::Model;
use reprise_core::cpu::model::MODELS;
use reprise_core::property::number;
use reprise_frontend::pc::SERIAL_PORTS;
use std::path::PathBuf;

/// Runs a machine until it is switched off; without a kernel, the embedded guest, which checks the machine.
#[derive(Debug, Args)]
#[command(args_override_self = true, disable_help_flag = true, after_help = help::after_run())]
pub struct RunOptions {
    /// The machine, or help for a list
    #[arg(short = 'M', long, value_name = "NAME", default_value = MACHINES[0].0, help_heading = "Machine")]
    machine: String,
    /// Model of the CPUs, or help for a list
    #[arg(long, value_name = "NAME", default_value = Model::DEFAULT, help_heading = "Machine")]
    cpu: String,
    /// Number of vCPUs: N, or cpus=N[,sockets=1][,cores=N][,threads=1]
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Machine")]
    smp: String,
    /// RAM, in MiB unless one of B, K, M, G, T follows
    #[arg(short, value_name = "SIZE", default_value = "128M", help_heading = "Machine")]
    memory: String,
    /// Add a device: NAME[,PROPERTY=VALUE]...; help for a list, NAME,help for its properties
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    device: Vec<String>,
    /// A virtio disk, or with if=none an image for a device to use: file=FILE[,if=virtio|none][,id=ID]
    /// [,format=raw|qcow2][,readonly=on|off][,snapshot=on|off][,share-rw=on|off]; more below
    #[arg(long, value_name = "DRIVE", help_heading = "Disks")]
    drive: Vec<String>,
    /// An image for a device to use, in QEMU's other notation, or in JSON:
    /// driver=qcow2|raw,node-name=ID,file.driver=file,file.filename=FILE[,read-only=on|off][,backing=NODE]
    #[arg(long, value_name = "NODE", help_heading = "Disks")]
    blockdev: Vec<String>,
    /// A virtio disk: the first; likewise -hdb, -hdc and -hdd
    #[arg(long, value_name = "FILE", help_heading = "Disks")]
    hda: Option<String>,
    #[arg(long, value_name = "FILE", hide = true)]
    hdb: Option<String>,
    #[arg(long, value_name = "FILE", hide = true)]
    hdc: Option<String>,
    #[arg(long, value_name = "FILE", hide = true)]
    hdd: Option<String>,
    /// Drop what the guest writes to disks, as snapshot=on does for one drive
    #[arg(long, help_heading = "Disks")]
    snapshot: bool,
    /// Keep what the guest writes to disks, as snapshot=off does for one drive: write it back after the run
    #[arg(long, help_heading = "Disks")]
    commit: bool,
    /// A network for a device to use: KIND,id=ID[,PROPERTY=VALUE]...
    #[arg(long, value_name = "KIND", help_heading = "Machine")]
    netdev: Vec<String>,
    /// A network and an adapter on it: KIND[,mac=MAC][,PROPERTY=VALUE]...; none: there is no adapter without this or
    /// -device
    #[arg(long, value_name = "KIND", help_heading = "Machine")]
    nic: Vec<String>,
    /// QEMU's old option: -net none is taken, for scripts that have it
    #[arg(long, value_name = "none", hide = true)]
    net: Vec<String>,
    /// A source of random numbers for a device to use, rng-random|rng-builtin,id=ID[,filename=FILE]; or a file for the
    /// frames of a network, filter-dump,id=ID,netdev=ID,file=FILE
    #[arg(long, value_name = "KIND", help_heading = "Machine")]
    object: Vec<String>,
    /// Add no devices that are not asked for: no serial port
    #[arg(long, help_heading = "Machine")]
    nodefaults: bool,
    /// What the real-time clock shows at the start: base=DATE, such as 2026-01-01T00:00:00 (which is the default),
    /// base=utc or base=localtime for the host's clock
    #[arg(long, value_name = "base=WHEN", help_heading = "Machine")]
    rtc: Option<String>,
    /// What to call the run in messages
    #[arg(long, value_name = "NAME", help_heading = "Machine")]
    name: Option<String>,

    /// The kernel: bzImage, ELF with a PVH entry, or multiboot
    #[arg(long, value_name = "FILE", help_heading = "Boot")]
    kernel: Option<PathBuf>,
    /// Its initial RAM disk; for a multiboot kernel its modules, FILE [ARGUMENTS][,FILE ...]
    #[arg(long, value_name = "FILE", help_heading = "Boot")]
    initrd: Option<String>,
    /// Its command line
    #[arg(long, value_name = "TEXT", help_heading = "Boot")]
    append: Option<String>,

    /// A serial port, COM1 first: stdio, mon:stdio, null, none, file:PATH, pipe:PATH, pty, tcp:HOST:PORT, telnet:HOST:PORT,
    /// unix:PATH or chardev:ID; mon: makes Ctrl-A begin a command (by default one port, mon:stdio)
    #[arg(long, value_name = "WHERE", help_heading = "Console")]
    serial: Vec<String>,
    /// A character device for others to use: KIND,id=ID[,PROPERTY=VALUE]...; help for a list, KIND,help for its properties
    #[arg(long, value_name = "KIND", help_heading = "Console")]
    chardev: Vec<String>,
    /// The console is on this terminal (there is no other display: this is the default)
    #[arg(long, help_heading = "Console")]
    nographic: bool,
    /// The display: none
    #[arg(long, value_name = "KIND", help_heading = "Console")]
    display: Option<String>,

    /// End the run when the guest resets the machine
    #[arg(long, help_heading = "Run")]
    no_reboot: bool,
    /// Start stopped: Ctrl-A p starts the machine, or gdb's continue
    #[arg(short = 'S', help_heading = "Run")]
    stopped: bool,
    /// Idle time passes as on a clock (real: the default on a terminal), or is skipped (fast: the default elsewhere)
    #[arg(long, value_name = "real|fast", help_heading = "Run")]
    pace: Option<String>,
    /// End the run at this tick, in ns of guest time; or with a unit: 250ms, 10s
    #[arg(long, value_name = "TICK", help_heading = "Run")]
    until: Option<String>,
    #[command(flatten)]
    engine: EngineOptions,

    #[command(flatten)]
    gdb: GdbOptions,

    /// Log these items, separated by commas; help for a list
    #[arg(short = 'd', value_name = "ITEMS", help_heading = "Looking inside")]
    log: Option<String>,
    /// Log to this file instead of standard error
    #[arg(short = 'D', value_name = "FILE", help_heading = "Looking inside")]
    log_file: Option<PathBuf>,
    /// Print fingerprint, icount, tick and bytes of RAM touched at the end, on standard error
    #[arg(long, help_heading = "Looking inside")]
    fingerprint: bool,
    /// Drop and shrink the engine's caches at random moments: no result may change
    #[arg(long, value_name = "SEED", help_heading = "Looking inside")]
    perturb_caches: Option<String>,
    #[command(flatten)]
    instruments: InstrumentOptions,
    /// Show this text
    #[arg(short = 'h', long, action = ArgAction::HelpShort, help_heading = "Looking inside")]
    help: Option<bool>,
}

/// What `reprise run` is to do.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// What to call the run in messages.
    pub name: Option<String>,
    /// The machine.
    pub config: MachineConfig,
    /// What serves its devices.
    pub backends: BackendOptions,
    /// Runs its vCPUs.
    pub engine: EngineChoice,
    /// Where a gdb server listens, if there is one.
    pub gdb: Option<Address>,
    /// Looks at it at work.
    pub instruments: InstrumentChoice,
    /// How idle time passes; by what standard input is if not said.
    pub pace: Option<Pace>,
    /// Whether to start paused.
    pub paused: bool,
    /// Where to end.
    pub until: Tick,
    /// Seed of the perturbation of caches.
    pub perturb_caches: Option<u64>,
    /// Whether to print what identifies the final state.
    pub fingerprint: bool,
    /// What to log.
    pub log_items: Vec<&'static str>,
    /// Where to.
    pub log_file: Option<PathBuf>,
}

impl RunOptions {
    /// Checks all values, and shows a list where one is asked for.
    pub(super) fn plan(self) -> Result<Request, UsageError> {
        if let Some(text) = self.list_asked_for() {
            return Ok(Request::Show(text));
        }
        let mut backends = BackendOptions::default();
        self.chardev.iter().try_for_each(|text| backends.chardevs.add_option(text))?;
        let disks = self.disks(&mut backends)?;
        self.netdev.iter().try_for_each(|text| add_netdev(text, &mut backends.netdevs))?;
        let nics = self.nics(&mut backends)?;
        self.object.iter().try_for_each(|text| add_object(text, &mut backends))?;
        let serial = self.serial_ports(&mut backends.chardevs)?;
        let mut devices: Vec<DeviceConfig> = match self.devices(&backends)? {
            Ok(devices) => nics.into_iter().chain(devices).collect(),
            Err(text) => return Ok(Request::Show(text)),
        };
        check_adapters(&devices, &backends.netdevs)?;
        settle_drives(&mut backends.drives, disks, &mut devices, (self.snapshot, self.commit))?;
        add_default_rngs(&mut devices, &mut backends.rngs)?;
        backends.check_uses(&serial, &devices)?;
        self.check_display()?;
        let (engine, gdb) = (self.engine.choice()?, self.gdb.address()?);
        check_engine(engine, gdb.is_some())?;
        self.check_pause(&backends.chardevs, gdb.is_some())?;
        let log_items = self.log.as_deref().map_or(Ok(Vec::new()), log_items)?;
        Ok(Request::Run(Box::new(RunPlan {
            config: self.config(serial, devices)?,
            backends,
            engine,
            gdb,
            instruments: self.instruments.choice()?,
            pace: self.pace()?,
            paused: self.stopped,
            until: self.until.as_deref().map_or(Ok(Tick::MAX), |text| ticks("-until", text))?,
            perturb_caches: self.seed()?,
            fingerprint: self.fingerprint,
            log_items,
            log_file: self.log_file,
            name: self.name,
        })))
    }

    fn list_asked_for(&self) -> Option<String> {
        let is_help = |text: &str| matches!(text, "help" | "?");
        match self {
            _ if is_help(&self.machine) => Some(help::machines()),
            _ if is_help(&self.cpu) => Some(help::cpus()),
            _ if self.engine.asks_for_help() => Some(engine::engines()),
            _ if self.log.as_deref().is_some_and(is_help) => Some(help::log_items()),
            _ => {
                let networks = || self.netdev.iter().chain(&self.nic).find_map(|text| netdev_help(text));
                self.chardev.iter().find_map(|text| chardev_help(text)).or_else(networks)
            }
        }
    }

    fn config(
        &self,
        serial: [Option<ChardevId>; SERIAL_PORTS],
        devices: Vec<DeviceConfig>,
    ) -> Result<MachineConfig, UsageError> {
        Ok(MachineConfig {
            machine: self.machine()?,
            cpu: self.cpu()?,
            cpus: cpus(&self.smp)?,
            ram: memory_size(&self.memory)?,
            serial,
            disks: Vec::new(),
            rtc_base: self.rtc.as_deref().map_or(Ok(DEFAULT_RTC_BASE), rtc_base)?,
            devices,
            boot: BootConfig {
                kernel: self.kernel.clone(),
                initrd: self.initrd.clone(),
                command_line: self.append.clone().unwrap_or_default(),
            },
            no_reboot: self.no_reboot,
        })
    }

    fn machine(&self) -> Result<String, UsageError> {
        let mut list = List::parse(&self.machine);
        let name = list.first.take().or_else(|| list.take("type")).unwrap_or_default();
        list.finish("-machine", &["type"])?;
        // QEMU's versioned names, such as pc-q35-7.2: there is one version.
        let unversioned = if name.starts_with("pc-q35-") { "pc-q35" } else { &name };
        if !MACHINES.iter().any(|(known, _)| *known == unversioned) {
            return Err(UsageError::unknown("machine", &name, &MACHINES.map(|(name, _)| name)));
        }
        Ok(MACHINES[0].0.into())
    }

    fn cpu(&self) -> Result<String, UsageError> {
        let mut list = List::parse(&self.cpu);
        let name = list.first.take().unwrap_or_default();
        if Model::find(&name).is_none() {
            let names: Vec<_> = MODELS.iter().map(|model| model.name).collect();
            return Err(UsageError::unknown("CPU model", &name, &names));
        }
        match list.items.first() {
            Some((feature, _)) => Err(UsageError::new(format!(
                "-cpu '{name}' takes no '{feature}': a model is what its name says, with no features added or removed"
            ))),
            None => Ok(name),
        }
    }

    fn serial_ports(&self, chardevs: &mut Chardevs) -> Result<[Option<ChardevId>; SERIAL_PORTS], UsageError> {
        let mut ports = [None; SERIAL_PORTS];
        if self.serial.len() > ports.len() {
            return Err(UsageError::new(format!("-serial: a machine has {SERIAL_PORTS} serial ports at most")));
        }
        if self.serial.is_empty() && !self.nodefaults && chardevs.stdio().is_none() {
            ports[0] = chardevs.serial("mon:stdio")?;
        }
        for (port, text) in ports.iter_mut().zip(&self.serial) {
            *port = chardevs.serial(text)?;
        }
        Ok(ports)
    }

    /// The adapters of `-nic`, which come before other devices, as in QEMU.
    fn nics(&self, backends: &mut BackendOptions) -> Result<Vec<DeviceConfig>, UsageError> {
        if let Some(text) = self.net.iter().find(|text| *text != "none") {
            return Err(UsageError::new(format!("-net '{text}' is not supported: use -nic, or -netdev and -device")));
        }
        let mut devices = Vec::new();
        for text in &self.nic {
            devices.extend(add_nic(text, &mut backends.netdevs)?);
        }
        Ok(devices)
    }

    /// The images, and the disks for which no device is named.
    fn disks(&self, backends: &mut BackendOptions) -> Result<DefaultDisks, UsageError> {
        let (drives, mut disks) = (&mut backends.drives, DefaultDisks::default());
        add_blockdevs(&self.blockdev, drives)?;
        for (index, path) in (0..).zip([&self.hda, &self.hdb, &self.hdc, &self.hdd]) {
            path.iter().try_for_each(|path| add_disk(path, index, drives, &mut disks))?;
        }
        self.drive.iter().try_for_each(|text| add_drive(text, drives, &mut disks))?;
        Ok(disks)
    }

    /// The devices, or the list that is asked for instead.
    fn devices(&self, backends: &BackendOptions) -> Result<Result<Vec<DeviceConfig>, String>, UsageError> {
        let mut devices: Vec<DeviceConfig> = Vec::new();
        for text in &self.device {
            match DeviceOption::parse(text, backends)? {
                DeviceOption::ListDevices => return Ok(Err(help::devices())),
                DeviceOption::ListProperties(spec) => return Ok(Err(help::properties(spec))),
                DeviceOption::Add(device) => {
                    if device.id.is_some() && devices.iter().any(|other| other.id == device.id) {
                        let id = device.id.unwrap_or_default();
                        return Err(UsageError::new(format!("-device id '{id}' is taken: each id names one device")));
                    }
                    devices.push(device);
                }
            }
        }
        Ok(Ok(devices))
    }

    fn check_display(&self) -> Result<(), UsageError> {
        match self.display.as_deref() {
            None | Some("none") => Ok(()),
            Some(kind) => Err(UsageError::unknown("display", kind, &["none"])),
        }
    }

    fn check_pause(&self, chardevs: &Chardevs, has_gdb: bool) -> Result<(), UsageError> {
        if self.stopped && !has_gdb && !chardevs.stdio().is_some_and(|(keys, _)| keys) {
            return Err(UsageError::new(
                "-S: nobody could start the machine: its keys are those of the console -serial mon:stdio, and gdb's are on -s",
            ));
        }
        Ok(())
    }

    fn pace(&self) -> Result<Option<Pace>, UsageError> {
        let choices = [("real", Pace::Real), ("fast", Pace::Fast)];
        self.pace.as_deref().map(|text| named("pace", text, &choices)).transpose()
    }

    fn seed(&self) -> Result<Option<u64>, UsageError> {
        let seed =
            |text: &str| number(text).ok_or_else(|| UsageError::new(format!("-perturb-caches '{text}' is no number")));
        self.perturb_caches.as_deref().map(seed).transpose()
    }
}

/// What `name` is called in `choices`.
pub(super) fn named<T: Copy>(kind: &str, name: &str, choices: &[(&str, T)]) -> Result<T, UsageError> {
    let found = choices.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice);
    let names: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
    found.ok_or_else(|| UsageError::unknown(kind, name, &names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn parse(line: &str) -> Result<Request, UsageError> {
        cli::parse(["reprise", "run"].into_iter().chain(line.split_whitespace()).map(Into::into))
    }

    fn plan(line: &str) -> RunPlan {
        match parse(line) {
            Ok(Request::Run(plan)) => *plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn without_options_the_embedded_guest_has_a_console() {
        let plan = plan("");
        assert_eq!(plan.config.serial, [Some(ChardevId(0)), None, None, None]);
        assert_eq!(plan.backends.chardevs.stdio(), Some((true, false)));
        assert_eq!((plan.config.ram, plan.config.cpus, plan.config.cpu.as_str()), (128 << 20, 1, "x86-64-v2"));
        assert_eq!((plan.until, plan.paused, plan.config.no_reboot, plan.pace), (Tick::MAX, false, false, None));
        assert_eq!(plan.config.boot, BootConfig::default());
    }

    #[test]
    fn of_an_option_given_twice_the_last_counts_and_lists_grow() {
        let plan =
            plan("-m 1G -m 2G -device isa-debug-exit -device isa-debug-exit,iobase=0xf4 -serial null -serial none");
        assert_eq!((plan.config.ram, plan.config.devices.len()), (2 << 30, 2));
        assert_eq!(plan.config.devices[1].properties, [("iobase".to_owned(), "0xf4".to_owned())]);
        assert_eq!(plan.config.serial, [Some(ChardevId(0)), None, None, None]);
    }

    #[test]
    fn a_linux_command_line_is_one_value() {
        let args = ["reprise", "run", "-kernel", "bzImage", "-append", "-x console=ttyS0", "-S"].map(Into::into);
        let Ok(Request::Run(plan)) = cli::parse(args) else { panic!("refused") };
        assert_eq!(plan.config.boot.command_line, "-x console=ttyS0");
        assert!(plan.paused);
    }

    #[test]
    fn adapters_come_before_other_devices() {
        let plan = plan("-device isa-debug-exit -netdev user,id=a -device virtio-net-pci,netdev=a -nic user -net none");
        let devices: Vec<_> =
            plan.config.devices.iter().map(|device| (device.name.as_str(), &device.properties)).collect();
        let netdev = |number: &str| vec![("netdev".to_owned(), number.to_owned())];
        let expected =
            [("virtio-net-pci", &netdev("1")), ("isa-debug-exit", &vec![]), ("virtio-net-pci", &netdev("0"))];
        assert_eq!(devices, expected);
    }

    #[test]
    fn nodefaults_leaves_the_serial_port_out() {
        assert_eq!(plan("-nodefaults").config.serial, [None; SERIAL_PORTS]);
        assert_eq!(plan("-nodefaults -serial stdio").config.serial[0], Some(ChardevId(0)));
    }

    #[test]
    fn machines_by_all_their_names() {
        ["q35", "pc", "pc-q35-7.2", "type=q35"].iter().for_each(|name| {
            assert_eq!(plan(&format!("-M {name}")).config.machine, "q35");
        });
    }

    #[test]
    fn paces_engines_and_ticks() {
        let plan = plan("-pace real -engine lockstep -accel tcg -until 3us -perturb-caches 7");
        let lockstep = EngineChoice::Lockstep { slice: EngineChoice::SLICE };
        assert_eq!((plan.pace, plan.engine, plan.until), (Some(Pace::Real), lockstep, 3000));
        assert_eq!(plan.perturb_caches, Some(7));
    }

    #[test]
    fn refusals_name_the_thing_and_the_choices() {
        for (line, start) in [
            ("-M isapc", "unknown machine 'isapc'\nvalid choices: q35"),
            ("-M q35,accel=kvm", "unknown property of -machine 'accel'"),
            ("-cpu host", "unknown CPU model 'host'\nvalid choices: x86-64-v1, x86-64-v2, x86-64-v3"),
            ("-cpu x86-64-v2,+avx", "-cpu 'x86-64-v2' takes no '+avx'"),
            ("-display gtk", "unknown display 'gtk'\nvalid choices: none"),
            ("-pace slow", "unknown pace 'slow'\nvalid choices: real, fast"),
            ("-engine tgc", "unknown engine 'tgc'\nvalid choices: interp"),
            ("-accel kvm", "-accel kvm: a run on the host's own CPU does not repeat"),
            ("-S -serial null", "-S: nobody could start the machine"),
            ("-serial null -serial null -serial null -serial null -serial null", "-serial: a machine has 4"),
            ("-device isa-debug-exit,id=a -device isa-debug-exit,id=a", "-device id 'a' is taken"),
            ("-device isa-debugcon,chardev=a", "there is no character device 'a'"),
            ("-chardev null,id=a -serial chardev:a -device isa-debugcon,chardev=a", "character device 'a' serves two"),
            (
                "-chardev null,id=a -device virtio-serial-pci -device virtconsole,chardev=a -device virtserialport,chardev=a",
                "character device 'a' serves two devices: each needs its own",
            ),
            ("-perturb-caches x", "-perturb-caches 'x' is no number"),
            ("-net user", "-net 'user' is not supported: use -nic"),
            ("-netdev user,id=n", "network back end 'n' serves no adapter: add -device virtio-net-pci,netdev=n"),
            ("-nic user,id=n -device virtio-net-pci,netdev=n", "network back end 'n' serves one adapter only"),
            ("-device virtio-net-pci,netdev=n", "there is no network back end 'n': add -netdev user,id=n, say"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.starts_with(start), "{line}: {error}");
        }
    }
}
