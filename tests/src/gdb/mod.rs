//! The real gdb on recordings and on machines that run.
//!
//! | module | what |
//! | --- | --- |
//! | [`client`], [`mi`] | gdb, told what to do |
//! | [`server`] | `reprise`, waiting for it |
//! | [`subject`] | what is debugged: the embedded guest and Debian, recorded |
//! | [`matrix`] | what is waited for in it |
//! | [`mirror`] | what is met forward is met backwards, in mirror order |
//! | [`steps`] | steps there and back, by instruction, line and function |
//! | [`history`] | its ends, and interruptions in between |
//! | [`dma`] | the writer that is no processor |
//! | [`diversion`] | changes, and what becomes of them |
//! | [`looks`] | memory, threads and conditions |
//! | [`live`] | a machine that runs |

pub mod client;
pub mod diversion;
pub mod dma;
pub mod history;
pub mod live;
pub mod looks;
pub mod matrix;
pub mod mi;
pub mod mirror;
pub mod server;
pub mod steps;
pub mod subject;

use anyhow::{Context, Result};
use client::Gdb;
use server::Server;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use subject::Subject;

/// A gdb that is connected to a server.
#[derive(Debug)]
pub struct Session {
    gdb: Gdb,
    /// The other side.
    pub server: Server,
}

impl Session {
    /// Replays `subject` with `program`, which is `reprise`, in gdb.
    pub fn replay(program: &Path, subject: &Subject) -> Result<Self> {
        Self::with(Server::replay(program, &subject.recording, &[])?, subject.symbols)
    }

    /// Connects gdb to a server.
    pub fn with(server: Server, symbols: Option<&Path>) -> Result<Self> {
        let mut gdb = Gdb::start(symbols)?;
        gdb.connect(&server).with_context(|| server.messages())?;
        Ok(Self { gdb, server })
    }
}

impl Deref for Session {
    type Target = Gdb;

    fn deref(&self) -> &Gdb {
        &self.gdb
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Gdb {
        &mut self.gdb
    }
}
