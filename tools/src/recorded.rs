//! What a recording says of its machine: written when a run is recorded, and read, with suspicion, when it is replayed.

use crate::boot::files::RecordedFiles;
use crate::cli::values::{MAX_RAM, MIN_RAM};
use crate::machine::{self, MACHINES, MachineConfig, device_names, device_spec};
use reprise_core::backend::{BackendKind, ChardevId};
use reprise_core::cpu::Model;
use reprise_core::cpu::model::MODELS;
use reprise_core::disk::SECTOR_SIZE;
use reprise_core::engine::Engine;
use reprise_core::machine::{MAX_CPUS, Machine};
use reprise_core::memory::PAGE_SIZE;
use reprise_core::property::PropertyKind;
use reprise_replay::{ReadError, Recording};
use serde_json::Value;

/// The name of the field that is not the machine's: the character device that a person sat at.
const CONSOLE: &str = "console";
/// Most bytes of a disk: files are no larger anywhere.
const MAX_DISK: u64 = i64::MAX as u64;

/// A machine, and what of it a replay shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedConfig {
    /// The machine.
    pub machine: MachineConfig,
    /// The character device that was on the terminal, if any.
    pub console: Option<ChardevId>,
}

/// Why a recording gives no machine.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its configuration cannot be.
    #[error("the recording's configuration: {field}: expected {expected}, found {found}")]
    Config {
        /// Which field.
        field: String,
        /// What can be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The machine cannot be built.
    #[error("the recording's machine cannot be built: {0}")]
    Build(anyhow::Error),
}

fn refused(field: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> RecordedError {
    RecordedError::Config { field: field.into(), expected: expected.into(), found: found.into() }
}

impl RecordedConfig {
    /// The text that goes into a recording.
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(&self.machine).expect("a configuration is plain data");
        value[CONSOLE] = serde_json::to_value(self.console).expect("a number is plain data");
        value.to_string()
    }

    /// What a recording has, if such a machine can be.
    pub fn from_json(text: &str) -> Result<Self, RecordedError> {
        let mut value: Value =
            serde_json::from_str(text).map_err(|error| refused("the whole", "JSON", error.to_string()))?;
        let object = value.as_object_mut().ok_or_else(|| refused("the whole", "an object", "something else"))?;
        let console = object.remove(CONSOLE).unwrap_or(Value::Null);
        let console = typed(&console).map_err(|(_, found)| refused(CONSOLE, "a number or null", found))?;
        let machine: MachineConfig =
            typed(&value).map_err(|(field, found)| refused(field, "a value of that field", found))?;
        let known = serde_json::to_value(&machine).expect("a configuration is plain data");
        if let Some(field) = unknown_field(&value, &known, String::new()) {
            return Err(refused(field, "a field that this build knows", "another"));
        }
        check(&machine)?;
        Ok(Self { machine, console })
    }
}

/// The machine that was recorded, at power-on, and its configuration. Nothing of the host is used.
pub fn machine(
    recording: &mut Recording,
    engine: impl FnOnce(&'static Model) -> Box<dyn Engine>,
) -> Result<(Machine, RecordedConfig), RecordedError> {
    let config = RecordedConfig::from_json(&recording.header().config)?;
    let machine = machine::build_from(&config.machine, engine, &mut RecordedFiles(recording));
    Ok((machine.map_err(RecordedError::Build)?, config))
}

/// The value, or the path of the field that is wrong and what is wrong with it.
fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(value).map_err(|error| (error.path().to_string(), error.inner().to_string()))
}

/// The path of a field of `value` that `known` does not have alike.
fn unknown_field(value: &Value, known: &Value, path: String) -> Option<String> {
    if value == known {
        return None;
    }
    match (value, known) {
        (Value::Object(fields), Value::Object(_)) => {
            let name = |field: &String| if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            fields.iter().find_map(|(field, value)| match known.get(field) {
                Some(known) => unknown_field(value, known, name(field)),
                None => Some(name(field)),
            })
        }
        (Value::Array(items), Value::Array(known)) if items.len() == known.len() => {
            let mut pairs = items.iter().zip(known).enumerate();
            pairs.find_map(|(index, (value, known))| unknown_field(value, known, format!("{path}[{index}]")))
        }
        _ => Some(path),
    }
}

/// Whether every value is one that such a machine can have.
fn check(config: &MachineConfig) -> Result<(), RecordedError> {
    let is = |good: bool, field: &str, expected: &str, found: &dyn ToString| {
        if good { Ok(()) } else { Err(refused(field, expected, found.to_string())) }
    };
    is(config.machine == MACHINES[0].0, "machine", MACHINES[0].0, &config.machine)?;
    let models = MODELS.iter().map(|model| model.name).collect::<Vec<_>>().join(", ");
    is(Model::find(&config.cpu).is_some(), "cpu", &format!("a CPU model that this build has: {models}"), &config.cpu)?;
    is((1..=MAX_CPUS).contains(&config.cpus), "cpus", &format!("1 to {MAX_CPUS}"), &config.cpus)?;
    let ram = (MIN_RAM..=MAX_RAM).contains(&config.ram) && config.ram.is_multiple_of(PAGE_SIZE);
    is(ram, "ram", &format!("whole pages, {MIN_RAM} to {MAX_RAM} bytes"), &config.ram)?;
    is(config.disks.len() <= usize::from(u16::MAX), "disks", "at most 65535", &config.disks.len())?;
    for (index, disk) in config.disks.iter().enumerate() {
        let good = disk.size.is_multiple_of(SECTOR_SIZE) && disk.size <= MAX_DISK;
        let expected = format!("whole sectors, at most {MAX_DISK} bytes");
        is(good, &format!("disks[{index}].size"), &expected, &disk.size)?;
    }
    for (index, device) in config.devices.iter().enumerate() {
        let field = format!("devices[{index}]");
        let Some(spec) = device_spec(&device.name) else {
            let known = format!("one of {}", device_names().join(", "));
            return Err(refused(format!("{field}.name"), known, &device.name));
        };
        let is_drive = |name: &str| {
            spec.properties
                .iter()
                .any(|property| property.name == name && property.kind == PropertyKind::Backend(BackendKind::Disk))
        };
        for (name, value) in device.properties.iter().filter(|(name, _)| is_drive(name)) {
            let good = value.parse().is_ok_and(|number: usize| number < config.disks.len());
            is(good, &format!("{field}.{name}"), &format!("a disk below {}", config.disks.len()), value)?;
        }
    }
    Ok(())
}
