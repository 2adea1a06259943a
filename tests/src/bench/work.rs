//! What is measured: boots, and the programs of `tests/debian/workloads`.

use crate::debian::Suite;

/// What a program spends its time with: how fast it may be differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Integer code.
    Integer,
    /// Cryptography, in instructions for it or in vectors.
    Cryptography,
    /// Vector and floating-point loops.
    Loop,
    /// The kernel's paths: system calls, processes, page faults.
    System,
}

/// A program in the guest; `tests/debian/workloads/workloads` says what it does, and how much of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// What that script calls it.
    pub name: &'static str,
    /// What it spends its time with.
    pub kind: Kind,
    /// What it does, for people.
    pub description: &'static str,
}

const fn program(name: &'static str, kind: Kind, description: &'static str) -> Program {
    Program { name, kind, description }
}

/// All programs, in the order in which they run.
pub static PROGRAMS: [Program; 20] = [
    program("sha256sum", Kind::Integer, "coreutils' sha256sum, which is plain C"),
    program("gzip", Kind::Integer, "packed with gzip, and unpacked"),
    program("xz", Kind::Integer, "packed with xz, and unpacked"),
    program("7z", Kind::Integer, "packed with 7z in one thread, and unpacked"),
    program("openssl-aes", Kind::Cryptography, "OpenSSL's AES-128-CBC and -CTR, with AES-NI"),
    program("openssl-aes-plain", Kind::Cryptography, "the same without AES-NI"),
    program("openssl-sha", Kind::Cryptography, "OpenSSL's SHA-256 and SHA-512"),
    program("openssl-rsa", Kind::Integer, "OpenSSL's signatures with RSA-2048"),
    program("integer", Kind::Integer, "lists, matrices, a state machine and a CRC, as CoreMark has them"),
    program("nbody-sse2", Kind::Loop, "n-body in double precision, SSE2"),
    program("nbody-x87", Kind::Loop, "n-body in double precision, x87"),
    program("vector", Kind::Loop, "packed single precision and bytes, SSE2"),
    program("chase", Kind::Integer, "pointers followed through 16 MiB"),
    program("getppid", Kind::System, "the shortest system call"),
    program("fork", Kind::System, "fork, exec, exit, wait"),
    program("pipe", Kind::System, "two processes that answer each other through pipes"),
    program("fault", Kind::System, "fresh pages touched, and given back"),
    program("python3", Kind::Integer, "dictionaries, objects, strings, sorting in Python"),
    program("gcc", Kind::Integer, "gcc -O2 of one C file"),
    program("sqlite3", Kind::Integer, "a table filled, indexed, changed, queried in memory"),
];

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Debian's kernel boots to its first process.
    Boot(Suite),
    /// A program does its work.
    Program(&'static Program),
}

impl Work {
    /// All there is, in the order in which it is done.
    pub fn all() -> Vec<Self> {
        Suite::ALL.into_iter().map(Self::Boot).chain(PROGRAMS.iter().map(Self::Program)).collect()
    }

    /// What the report and the command line call it.
    pub fn name(self) -> String {
        match self {
            Self::Boot(suite) => format!("boot-{}", suite.name()),
            Self::Program(program) => program.name.to_owned(),
        }
    }

    /// The work called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|work| work.name() == name)
    }

    /// What it is, for people.
    pub fn description(self) -> String {
        match self {
            Self::Boot(suite) => format!("Debian's kernel of {} boots to its first process", suite.name()),
            Self::Program(program) => program.description.to_owned(),
        }
    }

    /// The program, if it is one.
    pub fn program(self) -> Option<&'static Program> {
        match self {
            Self::Boot(_) => None,
            Self::Program(program) => Some(program),
        }
    }

    /// What a program spends its time with.
    pub fn kind(self) -> Option<Kind> {
        self.program().map(|program| program.kind)
    }
}
