//! Files that grow line by line, such as a log: appended to by several processes at once, and read as a stream, however
//! large they have become.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{
    FileError, IfExists, Readable, directory_of, exists, leftovers, open_to_read, open_to_write, read_limited,
    sync_directory, write,
};

/// A line that is longer was not written by us. It is passed over without being held.
const LONGEST: u64 = 1024 * 1024;
/// Nobody holds the lock for longer than one write takes, unless they were stopped in the middle of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Appends whole lines to a file that only its owner may read, and syncs it. A line that somebody else left without an end
/// is ended first, so that nothing is lost but what was lost then.
///
/// # Errors
/// When the file cannot be opened or written.
pub fn append(path: &Path, lines: &[u8]) -> Result<(), FileError> {
    Appending::begin(path)?.write(lines)
}

/// A file of lines that is being appended to. Others who do so wait meanwhile, as far as the file system has locks.
pub struct Appending {
    path: PathBuf,
    file: File,
    length: u64,
    locked: bool,
}

impl Appending {
    /// Opens the file, or makes one that only its owner may read. What was there has whole lines from now on.
    ///
    /// # Errors
    /// When the file cannot be opened, or a line that was left without an end cannot be ended.
    pub fn begin(path: &Path) -> Result<Self, FileError> {
        let fail = |source| FileError::new("append to", path, source);
        leftovers::remove_once(directory_of(path));
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let (mut file, locked) = loop {
            let file = open_to_write(&mut options, path).map_err(fail)?;
            let locked = lock(&file, File::try_lock);
            // Somebody may have put it aside, or written it anew, before they let go of it.
            if !locked || is_at(&file, path) {
                break (file, locked);
            }
        };
        let mut length = file.metadata().map_err(fail)?.len();
        if ends_within_a_line(&mut file, length).map_err(fail)? {
            file.write_all(b"\n").map_err(fail)?;
            length += 1;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
            locked,
        })
    }

    /// How many bytes are there.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes whole lines behind what is there, and syncs the file.
    ///
    /// # Errors
    /// When they cannot be written; then none of them is there.
    pub fn write(mut self, lines: &[u8]) -> Result<(), FileError> {
        let fail = |source| FileError::new("append to", &self.path, source);
        if let Err(error) = self.file.write_all(lines) {
            // Half of it would be a torn line. Without the lock, somebody else may have written behind it.
            if self.locked {
                let _ = self.file.set_len(self.length);
            }
            return Err(fail(error));
        }
        if self.locked {
            let _ = self.file.unlock();
        }
        self.file.sync_data().map_err(fail)?;
        if self.length == 0 {
            sync_directory(directory_of(&self.path)).map_err(fail)?;
        }
        Ok(())
    }

    /// Gives the file another name, under which it stays as it is. Whoever appends next makes a new one.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn put_aside(self, to: &Path) -> Result<(), FileError> {
        let fail = |source| FileError::new("put aside", &self.path, source);
        if exists(to) {
            return Err(fail(io::ErrorKind::AlreadyExists.into()));
        }
        self.file.sync_data().map_err(fail)?;
        std::fs::rename(&self.path, to).map_err(fail)?;
        sync_directory(directory_of(&self.path)).map_err(fail)
    }

    /// Whether others are kept away.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.locked
    }
}

/// Writes a file of lines anew while those that append to it wait. Returns whether it did: not where they cannot be kept away.
///
/// # Errors
/// When the file cannot be read or written, or has more than `limit` bytes.
pub fn rewrite(path: &Path, limit: u64, anew: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<bool, FileError> {
    let fail = |source| FileError::new("write anew", path, source);
    let file = open_to_write(OpenOptions::new().read(true).write(true), path).map_err(fail)?;
    if !cfg!(unix) || !lock(&file, File::try_lock) || !is_at(&file, path) {
        return Ok(false);
    }
    let bytes = read_limited(&file, limit).map_err(fail)?;
    // Whoever waits for the lock finds by then that the file is no longer the one of its name.
    write(path, &anew(&bytes), IfExists::Replace, Readable::ByOwner)?;
    Ok(true)
}

/// Whether a file that was opened is still the one of its name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(opened), Ok(named)) => identity(opened) == identity(named),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    exists(path)
}

/// The last bytes of a file, at most so many, and whether they are all of it.
///
/// # Errors
/// When it cannot be read.
pub fn tail(path: &Path, most: u64) -> Result<(Vec<u8>, bool), FileError> {
    let fail = |source| FileError::new("read", path, source);
    let mut file = open_to_read(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let from = length.saturating_sub(most);
    file.seek(SeekFrom::Start(from)).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(length - from).read_to_end(&mut bytes).map_err(fail)?;
    Ok((bytes, from == 0))
}

/// Keeps others that append away for a moment. A courtesy, which not every file system has: whole lines are written at
/// once in any case.
fn lock(file: &File, how: impl Fn(&File) -> Result<(), TryLockError>) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match how(file) {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(1)),
            Err(_) => return false,
        }
    }
}

fn ends_within_a_line(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}

/// One line of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// With its end.
    Whole(Vec<u8>),
    /// The last one, without its end: whoever wrote it was stopped.
    Torn(Vec<u8>),
    /// Longer than any of ours: its SHA-256, without its end.
    TooLong([u8; 32]),
}

/// The lines of a file from its beginning, one at a time in memory.
pub struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
}

impl Lines {
    /// Opens a file to be read by lines.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = open_to_read(path).map_err(|source| FileError::new("read", path, source))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(128 * 1024, file),
        })
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        self.read_into(&mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST {
            // Perhaps somebody is just writing it.
            if lock(self.reader.get_ref(), File::try_lock_shared) {
                let rest = self.read_into(&mut line);
                let _ = self.reader.get_ref().unlock();
                rest?;
            }
        }
        if line.last() == Some(&b'\n') {
            return Ok(Some(Line::Whole(line)));
        }
        if (line.len() as u64) < LONGEST {
            return Ok(Some(Line::Torn(line)));
        }
        Ok(Some(Line::TooLong(self.pass_over_the_rest(&line)?)))
    }

    fn read_into(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        let most = LONGEST.saturating_sub(line.len() as u64);
        self.reader.by_ref().take(most).read_until(b'\n', line)?;
        Ok(())
    }

    fn pass_over_the_rest(&mut self, beginning: &[u8]) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new_with_prefix(beginning);
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            hash.update(&buffer[..end.unwrap_or(buffer.len())]);
            let count = end.map_or(buffer.len(), |end| end + 1);
            let done = end.is_some() || count == 0;
            self.reader.consume(count);
            if done {
                return Ok(hash.finalize().into());
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Line, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read()
            .map_err(|source| FileError::new("read", &self.path, source))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ScopedJoinHandle;

    use super::*;

    fn lines(path: &Path) -> Vec<Line> {
        Lines::open(path).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_appended_after_a_torn_line_is_a_line_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        append(&path, b"one\n").unwrap();
        std::fs::write(&path, "one\ntw").unwrap();
        assert_eq!(lines(&path), [Line::Whole(b"one\n".into()), Line::Torn(b"tw".into())]);
        append(&path, b"three\nfour\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntw\nthree\nfour\n");
    }

    #[test]
    fn a_line_without_measure_is_passed_over_and_those_after_it_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let longest = usize::try_from(LONGEST).unwrap();
        let mut text = vec![b'x'; longest - 1];
        text.extend_from_slice(b"\n");
        text.extend(vec![b'y'; 3 * longest]);
        text.extend_from_slice(b"\nend\n");
        std::fs::write(&path, &text).unwrap();
        let lines = lines(&path);
        assert!(matches!(&lines[0], Line::Whole(line) if line.len() == longest));
        let digest = Sha256::digest(vec![b'y'; 3 * longest]).into();
        assert_eq!(lines[1..], [Line::TooLong(digest), Line::Whole(b"end\n".into())]);
    }

    #[test]
    fn nobody_appends_to_what_was_put_aside_while_they_waited() {
        let directory = tempfile::tempdir().unwrap();
        let [path, aside] = ["log", "aside"].map(|name| directory.path().join(name));
        append(&path, b"one\n").unwrap();
        let first = Appending::begin(&path).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| append(&path, b"two\n"));
            first.put_aside(&aside).unwrap();
            second.join().unwrap().unwrap();
        });
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn what_is_appended_while_the_file_is_written_anew_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        append(&path, b"first\n").unwrap();
        std::thread::scope(|scope| {
            let appending = ["a", "b"].map(|letter| {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..30 {
                        append(path, format!("{letter}{number}\n").as_bytes()).unwrap();
                    }
                })
            });
            while !appending.iter().all(ScopedJoinHandle::is_finished) {
                rewrite(&path, LONGEST, <[u8]>::to_vec).unwrap();
            }
        });
        assert_eq!(lines(&path).len(), 61);
    }

    #[test]
    fn many_that_append_at_once_tear_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::thread::scope(|scope| {
            for letter in b'a'..=b'h' {
                let path = &path;
                scope.spawn(move || {
                    let mut line = vec![letter; 3000];
                    line.push(b'\n');
                    for _ in 0..20 {
                        append(path, &line).unwrap();
                    }
                });
            }
        });
        let lines = lines(&path);
        assert_eq!(lines.len(), 160);
        for line in lines {
            assert!(matches!(line, Line::Whole(line) if line[..3000].iter().all(|byte| *byte == line[0])));
        }
    }
}
