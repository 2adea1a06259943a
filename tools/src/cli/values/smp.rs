//! `-smp`: how many vCPUs.

use super::List;
use crate::usage::UsageError;
use reprise_core::machine::MAX_CPUS;

/// What QEMU lets a user say about the topology.
const PROPERTIES: [&str; 5] = ["cpus", "maxcpus", "sockets", "cores", "threads"];

/// The number of vCPUs that `text` asks for. They are the cores of one socket.
pub fn cpus(text: &str) -> Result<u32, UsageError> {
    let mut list = List::parse(text);
    let count = list.take("cpus").or_else(|| list.first.take());
    let [maxcpus, sockets, cores, threads] = ["maxcpus", "sockets", "cores", "threads"].map(|name| list.take(name));
    list.finish("-smp", &PROPERTIES)?;
    let number = |text: &Option<String>| text.as_deref().map(|text| in_range(text)).transpose();
    let (sockets, cores, threads) = (number(&sockets)?, number(&cores)?, number(&threads)?);
    let cpus = match number(&count)? {
        Some(cpus) => cpus,
        None => in_range(&product([sockets, cores, threads]).to_string())?,
    };
    let is = |given: Option<u32>, only: u32| given.is_none_or(|given| given == only);
    if !is(number(&maxcpus)?, cpus) {
        return Err(UsageError::new(format!("-smp: vCPUs cannot be added later: maxcpus must be {cpus}")));
    }
    if !(is(sockets, 1) && is(cores, cpus) && is(threads, 1)) {
        return Err(UsageError::new(format!(
            "-smp '{text}': a machine has one socket with a core for each vCPU: sockets=1,cores={cpus},threads=1"
        )));
    }
    Ok(cpus)
}

fn product(counts: [Option<u32>; 3]) -> u64 {
    counts.into_iter().flatten().fold(1, |product, count| product.saturating_mul(u64::from(count)))
}

fn in_range(text: &str) -> Result<u32, UsageError> {
    match text.parse() {
        Ok(count @ 1..=MAX_CPUS) => Ok(count),
        _ => Err(UsageError::new(format!("-smp '{text}' is out of range: a machine has 1 to {MAX_CPUS} vCPUs"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_qemu_writes_them() {
        let forms = ["4", "cpus=4", "4,sockets=1,cores=4,threads=1", "cores=4", "4,maxcpus=4"];
        forms.iter().for_each(|text| assert_eq!(cpus(text).unwrap(), 4, "{text}"));
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        for (text, part) in [
            ("0", "1 to 255 vCPUs"),
            ("256", "1 to 255 vCPUs"),
            ("-1", "1 to 255 vCPUs"),
            ("two", "1 to 255 vCPUs"),
            ("cores=4294967295,threads=2", "1 to 255 vCPUs"),
            ("4,sockets=2,cores=2", "sockets=1,cores=4,threads=1"),
            ("4,maxcpus=8", "maxcpus must be 4"),
            ("4,dies=1", "unknown property of -smp 'dies'"),
        ] {
            let error = cpus(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
