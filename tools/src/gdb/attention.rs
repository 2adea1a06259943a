//! What a movement of the machine is watched for: gdb's Ctrl-C, a client that goes, signals, calls.

use super::client::Client;
use super::listen::{Listener, is_readable};
use super::session::refuse_others;
use super::viewer::Viewer;
use reprise_core::clock::Tick;
use reprise_core::output::Output;
use reprise_replay::timeline::Watcher;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Watches for a client.
pub(super) struct Attention<'c> {
    client: &'c mut Client,
    listener: &'c Listener,
    viewer: Option<Viewer>,
    looked: Option<Instant>,
    /// Whether a request ends the movement,
    gives_way: bool,
    /// and whether one has.
    gave_way: bool,
}

impl<'c> Attention<'c> {
    /// Watches for `client`, and shows what a replay shows to `viewer`.
    pub(super) fn new(client: &'c mut Client, listener: &'c Listener, viewer: Option<Viewer>) -> Self {
        Self { client, listener, viewer, looked: None, gives_way: false, gave_way: false }
    }

    /// The same, where a request ends the movement.
    pub(super) fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// Whether a request has ended the movement.
    pub(super) fn gave_way(&self) -> bool {
        self.gave_way
    }
}

impl Watcher for Attention<'_> {
    fn pass(&mut self, _now: Tick) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_INTERVAL) {
            return true;
        }
        self.looked = Some(Instant::now());
        self.client.flush();
        self.client.receive();
        refuse_others(self.listener, self.client);
        self.viewer.iter().for_each(Viewer::flush);
        let has_to_end = self.viewer.as_ref().is_some_and(Viewer::has_to_end);
        self.gave_way |= self.gives_way && self.client.frames.has_request();
        !(self.client.is_gone() || has_to_end || self.gave_way || self.client.frames.take_interrupt())
    }

    fn output(&mut self, _now: Tick, output: Output) {
        self.viewer.iter().for_each(|viewer| viewer.output(output.clone()));
    }
}

/// Watches for the first call.
pub(super) struct Unattended<'l>(pub(super) &'l Listener);

impl Watcher for Unattended<'_> {
    fn pass(&mut self, _now: Tick) -> bool {
        !is_readable(self.0.as_fd())
    }

    /// Only a replay shows anything here, and that does not move by itself.
    fn output(&mut self, _now: Tick, _output: Output) {}
}
