//! The descriptors that this process was started with. Whatever it opens itself is closed in a program that it starts; these
//! are not, unless something is done about it.
#![expect(
    clippy::disallowed_types,
    reason = "a descriptor is an open file already; like `files`, this is a door to the disk"
)]

use std::fs::File;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::files;

/// The number of stdin.
pub const STDIN: u32 = 0;

/// The descriptor that a path stands for, if it stands for one.
#[must_use]
pub fn named_by(path: &Path) -> Option<u32> {
    let path = path.to_str()?;
    if path == "/dev/stdin" {
        return Some(STDIN);
    }
    ["/dev/fd/", "/proc/self/fd/"]
        .iter()
        .find_map(|place| path.strip_prefix(place))?
        .parse()
        .ok()
}

/// A descriptor that was taken over: it is closed under its number, and in every program that is started from here.
#[derive(Debug)]
pub struct Taken(File);

impl Taken {
    /// Reads it to its end.
    ///
    /// # Errors
    /// When reading fails, or there are more than `limit` bytes.
    pub fn read(self, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        files::read_limited(self.0, limit)
    }
}

/// Takes over a descriptor that this process was started with, so that nobody else can read what it leads to. To be called
/// before anything is opened here, for what is opened has a number too.
///
/// # Errors
/// When there is none of this number, or it cannot be read from. Those of stdin, stdout and stderr are not to be had.
#[cfg(unix)]
pub fn take(number: u32) -> io::Result<Taken> {
    use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
    let raw = i32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    if raw < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Without the flag, opening would wait for a writer of a named pipe that has written and gone.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(format!("/dev/fd/{number}"), flags, Mode::empty())?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    nix::unistd::close(raw)?;
    Ok(Taken(File::from(file)))
}

/// Without descriptors there is none to be taken.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn take(_: u32) -> io::Result<Taken> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Keeps descriptors that this process was started with from the programs that it starts, but for the standard streams: all
/// of them, or these alone.
#[cfg(unix)]
pub fn keep_from_children(these: Option<&[u32]>) {
    let Some(these) = these else {
        close_fds::set_fds_cloexec(3, &[]);
        return;
    };
    if !these.iter().any(|number| *number > 2) {
        return;
    }
    let mut others: Vec<i32> = files::list(Path::new("/dev/fd"))
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.parse::<u32>().ok())
        .filter(|number| !these.contains(number))
        .filter_map(|number| number.try_into().ok())
        .collect();
    others.sort_unstable();
    close_fds::set_fds_cloexec(3, &others);
}

/// Elsewhere no child has any.
#[cfg(not(unix))]
pub fn keep_from_children(_: Option<&[u32]>) {}

/// Puts an empty stdin in the place of one that was read, which whoever comes after could wind back.
///
/// # Errors
/// When there is no `/dev/null`.
#[cfg(unix)]
pub fn end_stdin() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let nothing = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::stdio::dup2_stdin(&nothing)?)
}

/// Elsewhere stdin is not shared in this way.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn end_stdin() -> io::Result<()> {
    Ok(())
}

/// A descriptor from which the program that takes this process's place can read these bytes, once.
///
/// # Errors
/// When the system gives no pipe, or the bytes do not fit into one.
#[cfg(unix)]
pub fn hand_over(bytes: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    use std::io::Write;

    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::io::{FdFlags, fcntl_setfd};
    let (reader, mut writer) = io::pipe()?;
    // Nobody reads yet: what does not fit would be waited for without end.
    fcntl_setfl(&writer, OFlags::NONBLOCK)?;
    writer.write_all(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other("it is too long"),
        _ => error,
    })?;
    fcntl_setfd(&reader, FdFlags::empty())?;
    Ok(reader.into())
}

/// Takes stdin and stdout over, and leaves nothing in their place: what a library of others' reads or prints is nobody's.
///
/// # Errors
/// When there is no `/dev/null`, or no descriptor is left.
#[cfg(unix)]
pub fn take_standard_streams() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::fcntl_dupfd_cloexec;
    use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin, stdout};
    let (input, output) = (fcntl_dupfd_cloexec(stdin(), 3)?, fcntl_dupfd_cloexec(stdout(), 3)?);
    let nothing = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    Ok((input.into(), output.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_stand_for_a_descriptor() {
        for (path, number) in [
            ("/dev/fd/63", Some(63)),
            ("/proc/self/fd/7", Some(7)),
            ("/dev/stdin", Some(STDIN)),
            ("/dev/fd/", None),
            ("/dev/fd/-1", None),
            ("dev/fd/3", None),
            ("-", None),
        ] {
            assert_eq!(named_by(Path::new(path)), number, "{path}");
        }
    }
}
