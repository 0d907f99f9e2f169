//! Programs that are started for a job: they get a secret by stdin alone, see nothing of how the vault is opened, and do not
//! run for ever.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::instants;

/// What of ours a child must not see: how to open the vault, and the tokens that keys are held in.
pub const OURS: [&str; 5] = [
    "DFNS_KEYS_PASSPHRASE",
    "DFNS_KEYS_PASSPHRASE_FILE",
    "DFNS_KEYS_IDENTITY",
    "DFNS_KEYS_PIN_FILE",
    "DFNS_KEYS_TEST_STOP_AT",
];

/// More than any answer has that we read.
const MOST_OUTPUT: usize = 1024 * 1024;

/// A program did not come to an end of its own.
#[derive(Debug, Error)]
pub enum ChildError {
    /// There is no such program.
    #[error("there is no such program on the PATH")]
    Missing,
    /// The system does not start it.
    #[error("it cannot be started: {0}")]
    NotStarted(io::Error),
    /// It took longer than it may.
    #[error("it did not end within {} s", .0.as_secs())]
    Endless(Duration),
    /// It was started, and what became of it is not known.
    #[error("it cannot be followed: {0}")]
    Lost(io::Error),
    /// It printed without end.
    #[error("it prints more than {} KiB", MOST_OUTPUT / 1024)]
    Flood,
}

impl ChildError {
    /// Whether it never ran.
    #[must_use]
    pub fn never_ran(&self) -> bool {
        matches!(self, Self::Missing | Self::NotStarted(_))
    }
}

/// What a program left behind that ended by itself.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Zeroizing<Vec<u8>>,
    /// What it complained of.
    pub stderr: Zeroizing<Vec<u8>>,
}

/// Runs a program to its end, and to that of everything that it started and left its output to.
///
/// # Errors
/// When it cannot be started, does not end in time, or prints without end; then it is killed, with what it started.
pub async fn run(program: &str, arguments: &[String], input: &[u8], limit: Duration) -> Result<Ended, ChildError> {
    follow(program, arguments, input, limit, false).await
}

/// Runs a program to its own end, without any input. What it started and leaves running goes on.
///
/// # Errors
/// As [`run`].
pub async fn run_and_leave(program: &str, arguments: &[String], limit: Duration) -> Result<Ended, ChildError> {
    follow(program, arguments, b"", limit, true).await
}

async fn follow(
    program: &str,
    arguments: &[String],
    input: &[u8],
    limit: Duration,
    leave: bool,
) -> Result<Ended, ChildError> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for variable in OURS {
        command.env_remove(variable);
    }
    // So that what it starts is stopped with it.
    #[cfg(unix)]
    command.process_group(0);
    instants::pass();
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ChildError::Missing,
        _ => ChildError::NotStarted(error),
    })?;
    #[cfg(unix)]
    let group = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // One that refuses before it reads has the right to close the pipe.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
        Ok(())
    };
    let (mut stdout, mut stderr) = (Output::new(stdout), Output::new(stderr));
    let work = async {
        let printing = async { tokio::try_join!(feed, stdout.read(), stderr.read()).map(|_| ()) };
        let mut status = None;
        tokio::select! {
            outcome = printing => outcome?,
            ended = child.wait(), if leave => status = Some(ended),
        }
        let status = match status {
            Some(ended) => {
                // What it printed itself has arrived by now, whoever else has its output still.
                stdout.take_what_is_there()?;
                stderr.take_what_is_there()?;
                ended
            }
            None => child.wait().await,
        };
        status.map_err(ChildError::Lost)
    };
    let outcome = tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(ChildError::Endless(limit)));
    if outcome.is_err() {
        #[cfg(unix)]
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.start_kill();
        let _ = child.wait().await;
    }
    instants::pass();
    Ok(Ended {
        status: outcome?,
        stdout: stdout.bytes,
        stderr: stderr.bytes,
    })
}

/// What a program prints, in memory that is wiped: a vector that grows leaves copies behind, so each is replaced here.
struct Output<S> {
    source: Option<S>,
    bytes: Zeroizing<Vec<u8>>,
}

impl<S: AsyncRead + Unpin> Output<S> {
    fn new(source: Option<S>) -> Self {
        Self {
            source,
            bytes: Zeroizing::new(Vec::with_capacity(16 * 1024)),
        }
    }

    /// Reads to the end.
    async fn read(&mut self) -> Result<(), ChildError> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let mut chunk = Zeroizing::new([0_u8; 8 * 1024]);
        loop {
            let count = source.read(&mut *chunk).await.map_err(ChildError::Lost)?;
            if count == 0 {
                return Ok(());
            }
            keep(&mut self.bytes, &chunk[..count])?;
        }
    }
}

#[cfg(unix)]
impl<S: AsFd> Output<S> {
    /// Reads what was printed already, and waits for no more.
    fn take_what_is_there(&mut self) -> Result<(), ChildError> {
        let Some(source) = &self.source else { return Ok(()) };
        let mut chunk = Zeroizing::new([0_u8; 8 * 1024]);
        // The pipe does not block. Where it has nothing more, that is an error, and the end of this.
        while let Ok(count @ 1..) = rustix::io::read(source, &mut *chunk) {
            keep(&mut self.bytes, &chunk[..count])?;
        }
        Ok(())
    }
}

#[cfg(not(unix))]
impl<S> Output<S> {
    fn take_what_is_there(&mut self) -> Result<(), ChildError> {
        Ok(())
    }
}

fn keep(bytes: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) -> Result<(), ChildError> {
    if bytes.len() + chunk.len() > MOST_OUTPUT {
        return Err(ChildError::Flood);
    }
    if bytes.capacity() < bytes.len() + chunk.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 2 + chunk.len()));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        "localhost".to_owned()
    }
}
