//! `reprise`, waiting for a debugger.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// A server, which is ended when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Replays `recording` with `program`, which is `reprise`.
    pub fn replay(program: &Path, recording: &Path, options: &[&str]) -> Result<Self> {
        Self::start(program, &[&["replay", &recording.to_string_lossy()], options].concat())
    }

    /// Carries out a command of `program` that a debugger can look at.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let output = |name| File::create(folder.path().join(name)).context("cannot create a file");
        let mut command = Command::new("setpriv");
        // It dies with the test.
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.arg("-gdb").arg(format!("unix:{}", socket(folder.path()).display()));
        command.stdin(Stdio::null()).stdout(output("stdout")?).stderr(output("stderr")?);
        let child = command.spawn().context("cannot start reprise")?;
        let mut server = Self { child, folder };
        server.wait_for_socket()?;
        Ok(server)
    }

    /// What gdb's `target remote` takes.
    pub fn address(&self) -> String {
        socket(self.folder.path()).display().to_string()
    }

    /// A connection of a client that is not gdb.
    pub fn connect(&self) -> Result<UnixStream> {
        Ok(UnixStream::connect(socket(self.folder.path()))?)
    }

    /// What the guest has printed.
    pub fn console(&self) -> String {
        self.read("stdout")
    }

    /// What the server has to say.
    pub fn messages(&self) -> String {
        self.read("stderr")
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if asked.elapsed() > PATIENCE {
                bail!("it does not end: {}", self.messages());
            }
            thread::sleep(PAUSE);
        }
    }

    fn wait_for_socket(&mut self) -> Result<()> {
        let asked = Instant::now();
        while !socket(self.folder.path()).exists() {
            if let Some(status) = self.child.try_wait()? {
                bail!("there is no server ({status}): {}", self.messages());
            }
            if asked.elapsed() > PATIENCE {
                bail!("the server does not listen: {}", self.messages());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn read(&self, name: &str) -> String {
        fs::read(self.folder.path().join(name)).map_or_else(|error| error.to_string(), text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("gdb")
}

#[expect(clippy::needless_pass_by_value, reason = "it is what there is")]
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
