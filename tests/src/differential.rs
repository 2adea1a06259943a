//! One case on the host's processor and on the interpreter, and what they disagree on.

use crate::virtual_processor::VirtualProcessor;
use reprise_silicon::compare::{Observed, differences, ending};
use reprise_silicon::generate::{Case, Family, Generator};
use reprise_silicon::{Outcome, Silicon, SiliconError};
use std::collections::BTreeMap;
use std::fmt;

/// Differences that are described in full; of the others only the count is kept.
const DESCRIBED: usize = 12;

/// Both processors, and what makes cases for them.
pub struct Differential {
    silicon: Silicon,
    processor: VirtualProcessor,
    generator: Generator,
}

/// What became of many cases.
#[derive(Default)]
pub struct Report {
    /// Cases that both processors ended.
    pub compared: u64,
    /// Descriptions of the first cases that differed.
    pub differences: Vec<String>,
    /// Cases that differed, by the instruction that stands first among those executed last.
    pub by_instruction: BTreeMap<String, u64>,
}

impl Differential {
    /// Sets both up.
    pub fn new() -> Result<Self, SiliconError> {
        let (processor, generator) = (VirtualProcessor::new(), Generator::new());
        Ok(Self { silicon: Silicon::new()?, processor, generator })
    }

    /// Runs the case of a seed on both, and notes what differs.
    pub fn check(&mut self, seed: u64, family: Option<Family>, report: &mut Report) {
        let case = self.generator.case(seed, family);
        let mut expected_data = case.data.clone();
        let mut found_data = case.data.clone();
        let expected = self.silicon.run(&case.code, &case.state, &mut expected_data);
        let found = self.processor.run(&case, &mut found_data);
        if matches!(expected, Outcome::Endless) || matches!(found, Outcome::Endless) {
            return;
        }
        report.compared += 1;
        let lines = differences(
            &case,
            Observed { outcome: &expected, data: &expected_data },
            Observed { outcome: &found, data: &found_data },
        );
        if !lines.is_empty() {
            report.note(&case, family, &lines, &expected, &found);
        }
    }
}

impl Report {
    fn note(&mut self, case: &Case, family: Option<Family>, lines: &[String], expected: &Outcome, found: &Outcome) {
        let code = disassemble(&case.code);
        let key = code.iter().map(|line| line.split_whitespace().nth(1).unwrap_or("?")).collect::<Vec<_>>().join(" ");
        *self.by_instruction.entry(key).or_default() += 1;
        if self.differences.len() < DESCRIBED {
            self.differences.push(format!(
                "seed {} family {family:?}\n{}\nsilicon: {}\ninterpreter: {}\n{}",
                case.seed,
                code.join("\n"),
                ending(expected),
                ending(found),
                lines.join("\n")
            ));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.by_instruction.values().sum();
        writeln!(f, "{} cases compared, {total} differ", self.compared)?;
        for difference in &self.differences {
            writeln!(f, "\n{difference}")?;
        }
        Ok(())
    }
}

/// A line for each instruction: its offset, name and operands.
fn disassemble(code: &[u8]) -> Vec<String> {
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
    let mut formatter = IntelFormatter::new();
    let line = |instruction| {
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        format!("{:#04x} {text}", instruction.ip())
    };
    Decoder::with_ip(64, code, 0, DecoderOptions::NONE).iter().map(line).collect()
}
