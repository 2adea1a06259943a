//! What is measured: with packets alone, so that no debugger's own time counts, and where a debugger is meant, with gdb.

use super::Plan;
use super::crossings::{CROSSINGS, Crossed};
use super::packets::{Client, hex};
use super::recording::{LENGTH, Recorded};
use super::report::{Report, percentile};
use crate::gdb::client::{Gdb, number_after};
use crate::gdb::server::Server;
use anyhow::{Context, Result, ensure};
use reprise_core::clock::Tick;
use reprise_silicon::generate::Random;
use std::path::Path;
use std::time::{Duration, Instant};

/// Checkpoints take that much.
const MEMORY: &str = "4G";
/// Places where steps are made.
const WALKS: usize = 10;
/// Where Debian's kernel lies when it is told not to choose: it is unpacked to there early in the boot, and never
/// written again.
const UNPACKED: u64 = 0xffff_ffff_8140_0000;
/// An address that nothing executes.
const NOWHERE: u64 = 0xffff_ffff_ffff_f000;
/// Of gdb's numbers of registers, that of RDI.
const RDI: u16 = 5;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Measures all of it but conditions, on one server.
pub fn measure(program: &Path, recorded: &Recorded, plan: &Plan, report: &mut Report) -> Result<()> {
    let server = Server::replay(program, &recorded.file, &["-checkpoint-memory", MEMORY])?;
    let mut client = Client::new(server.connect()?)?;
    let mut random = Random::new(plan.seed);
    println!("one pass forward: {:.1} s", timed(|| seek(&mut client, recorded.end))?.as_secs_f64());
    seeks(&mut client, recorded, plan, &mut random, report)?;
    steps(&mut client, recorded, plan, &mut random, report)?;
    last_write(&mut client, recorded, report)?;
    client.demand("D;1")?;
    drop(client);
    let mut gdb = Gdb::start(None)?;
    gdb.connect(&server)?;
    thousand_steps(&mut gdb, recorded, &mut random, report)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn seek(client: &mut Client, tick: Tick) -> Result<()> {
    client.monitor(&format!("seek {tick}")).map(drop)
}

/// Anywhere between the first instruction and the last.
fn anywhere(recorded: &Recorded, random: &mut Random) -> Tick {
    1 + random.below(recorded.end - 1)
}

fn seeks(
    client: &mut Client,
    recorded: &Recorded,
    plan: &Plan,
    random: &mut Random,
    report: &mut Report,
) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..plan.places {
        let to = anywhere(recorded, random);
        times.push(timed(|| seek(client, to))?);
    }
    let half = percentile(&mut times, 0.5).context("no seeks")?;
    println!("seek, half of them: {:.1} ms", half.as_secs_f64() * 1e3);
    let longest = percentile(&mut times, 1.0).context("no seeks")?;
    report.time(format!("cold seek, the longest of {}", times.len()), longest, 250 * MILLISECOND);
    Ok(())
}

fn steps(
    client: &mut Client,
    recorded: &Recorded,
    plan: &Plan,
    random: &mut Random,
    report: &mut Report,
) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..WALKS {
        seek(client, anywhere(recorded, random))?;
        for _ in 0..plan.steps {
            times.push(timed(|| client.resume("bs").map(drop))?);
        }
    }
    for (name, part, most) in [("half", 0.5, MILLISECOND), ("99 of 100", 0.99, 20 * MILLISECOND)] {
        let time = percentile(&mut times, part).context("no steps")?;
        report.time(format!("bs, {name} of {} at {WALKS} places", times.len()), time, most);
    }
    Ok(())
}

fn last_write(client: &mut Client, recorded: &Recorded, report: &mut Report) -> Result<()> {
    seek(client, recorded.end)?;
    let mut said = String::new();
    let time = timed(|| {
        said = client.monitor(&format!("last-write {UNPACKED:#x},8"))?;
        Ok(())
    })?;
    let after = said.split_once("after it").and_then(|(_, rest)| number_after(rest, "tick"));
    let tick = after.with_context(|| format!("the last write is not told: {said}"))?;
    let back = recorded.end - tick;
    ensure!(back >= LENGTH, "the last write is {back} ticks back only: {said}");
    report.time(format!("last writer, {:.1} billion instructions back", back as f64 / 1e9), time, 5 * SECOND);
    Ok(())
}

/// Measures what a condition costs that is false so often.
pub fn false_hits(program: &Path, recorded: &Recorded, crossed: &Crossed, report: &mut Report) -> Result<()> {
    let server = Server::replay(program, &recorded.file, &["-checkpoint-memory", MEMORY])?;
    let client = &mut Client::new(server.connect()?)?;
    seek(client, recorded.end)?;
    let unconditional = stretch(client, crossed, &format!("0,{NOWHERE:x},1"))?;
    let condition = never();
    let (length, bytes) = (condition.len(), hex(&condition));
    let conditional = stretch(client, crossed, &format!("0,{:x},1;X{length:x},{bytes}", crossed.address))?;
    println!(
        "a breakpoint without a condition: {:.2} s; with one that is false {CROSSINGS} times: {:.2} s",
        unconditional.as_secs_f64(),
        conditional.as_secs_f64()
    );
    let ratio = conditional.as_secs_f64() / unconditional.as_secs_f64();
    report.ratio(format!("{CROSSINGS} false hits, by a breakpoint without a condition"), ratio, 2.0);
    Ok(())
}

/// How long it takes to the end of the recording with that breakpoint. The best of two: both go over known ground.
fn stretch(client: &mut Client, crossed: &Crossed, breakpoint: &str) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..2 {
        seek(client, crossed.from)?;
        client.demand(&format!("Z{breakpoint}"))?;
        let mut stop = String::new();
        best = best.min(timed(|| {
            stop = client.resume("c")?;
            Ok(())
        })?);
        ensure!(stop.contains("replaylog:end"), "it stops before the end: {stop}");
        let place = breakpoint.split_once(';').map_or(breakpoint, |(place, _)| place);
        client.demand(&format!("z{place}"))?;
    }
    Ok(best)
}

/// What gdb makes of `$rdi == 0x0123456789abcdef`: Debugging with GDB, appendix F "The GDB Agent Expression Mechanism".
fn never() -> Vec<u8> {
    const REG: u8 = 0x26;
    const CONST64: u8 = 0x25;
    const EQUAL: u8 = 0x13;
    const END: u8 = 0x27;
    let mut code = vec![REG];
    code.extend(RDI.to_be_bytes());
    code.push(CONST64);
    code.extend(0x0123_4567_89ab_cdef_u64.to_be_bytes());
    code.extend([EQUAL, END]);
    code
}

fn thousand_steps(gdb: &mut Gdb, recorded: &Recorded, random: &mut Random, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..WALKS {
        gdb.seek(&anywhere(recorded, random).to_string())?;
        times.push(timed(|| gdb.resume("reverse-stepi 1000").map(drop))?);
    }
    let half = percentile(&mut times, 0.5).context("no steps")?;
    println!("reverse-stepi 1000 in gdb, half of them: {:.2} s", half.as_secs_f64());
    let longest = percentile(&mut times, 1.0).context("no steps")?;
    report.time(format!("reverse-stepi 1000 in gdb, the longest of {WALKS}"), longest, SECOND);
    Ok(())
}
