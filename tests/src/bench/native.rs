//! The guest's programs on the host: its root folder is made the root of the processes.

use super::column::Setup;
use super::job::Job;
use crate::debian;
use anyhow::{Context, bail};
use std::process::Command;

/// The command, on the last of the processors that this process may use.
pub(super) fn command(job: &Job, setup: &Setup) -> anyhow::Result<Command> {
    let Job::Programs(_) = job else { bail!("the host has booted long ago") };
    let root = debian::workloads("root");
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &last_processor()?]);
    if rustix::process::geteuid().is_root() {
        command.arg("chroot").arg(root);
    } else {
        // Who is not root may be it in a user namespace, where the system allows those.
        command.args(["unshare", "--map-root-user", "--root"]).arg(root);
    }
    command.args(["/usr/bin/workloads", &setup.amount.to_string(), &setup.cpu]);
    command.args(job.programs());
    Ok(command)
}

/// The number of it: interrupts favour the first.
fn last_processor() -> anyhow::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let last = list.and_then(|list| list.trim().rsplit([',', '-']).next());
    Ok(last.context("/proc/self/status does not say which processors are allowed")?.to_owned())
}
