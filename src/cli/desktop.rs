//! The desktop of whoever sits at the terminal: the system's own opener shows a page there.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::contexts::variable;
use crate::sys::child;

const OPENER: &[&str] = if cfg!(windows) {
    &["rundll32", "url.dll,FileProtocolHandler"]
} else if cfg!(target_os = "macos") {
    &["open"]
} else {
    &["xdg-open"]
};
/// One that finds no browser ends sooner. One that shows the page may go on for as long as it is looked at.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether there is a desktop, and the person in front of it: not at the other end of an ssh.
pub(super) fn is_there() -> bool {
    let has_screen = cfg!(any(windows, target_os = "macos"))
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| variable(name).is_some());
    has_screen && variable("SSH_CONNECTION").is_none()
}

/// Shows a page.
///
/// # Errors
/// When there is no opener, or it says that it did not.
pub(super) fn open(page: &str) -> io::Result<()> {
    let mut command = Command::new(OPENER[0]);
    command
        .args(&OPENER[1..])
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for variable in child::OURS {
        command.env_remove(variable);
    }
    // So that Ctrl-C at the prompt does not close the browser.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut opener = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("there is no {}", OPENER[0])),
        _ => error,
    })?;
    let end = Instant::now() + PATIENCE;
    loop {
        match opener.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err(io::Error::other(format!("{} found no way to show it", OPENER[0]))),
            None if Instant::now() > end => return Ok(()),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
