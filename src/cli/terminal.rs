//! Questions, on the terminal only. Nothing here is asked through stdin or stdout, which may be pipes.
#![expect(
    clippy::disallowed_types,
    reason = "the terminal is a device, which the file module's rules do not fit"
)]

use std::io::{self, BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use base64ct::{Base64, Encoding};
use secrecy::SecretString;

#[cfg(unix)]
const TERMINAL: &str = "/dev/tty";
#[cfg(windows)]
const TERMINAL: &str = "CONIN$";

/// Whether there is a terminal to ask on.
pub(super) fn is_there() -> bool {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .is_ok()
}

/// Asks for a secret without echo. Whatever its length, it is taken whole: the terminal is not in its line mode, which
/// would cut a line at 4,095 bytes.
pub(super) fn ask_hidden(prompt: &str) -> io::Result<SecretString> {
    let guard = HiddenInput::begin(prompt)?;
    let answer = rpassword::read_password();
    drop(guard);
    answer.map(SecretString::from)
}

/// Asks for a line that is no secret.
pub(super) fn ask(prompt: &str) -> io::Result<String> {
    show(prompt)?;
    let mut line = String::new();
    BufReader::new(std::fs::File::open(TERMINAL)?).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Waits for Enter.
#[cfg(feature = "sandbox")]
pub(super) fn pause(prompt: &str) -> io::Result<()> {
    ask_hidden(prompt).map(drop)
}

/// Shows a line to whoever sits at the terminal.
pub(super) fn show_line(text: &str) -> io::Result<()> {
    show(&format!("{text}\n"))
}

/// Whether the terminal understands what it is not to show.
pub(super) fn can_copy() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Asks the terminal to put a text on the clipboard of whoever sits at it, also at the other end of an ssh (OSC 52). Whether it does
/// so, it does not say.
pub(super) fn copy(text: &str) -> io::Result<()> {
    show(&format!("\x1b]52;c;{}\x07", Base64::encode_string(text.as_bytes())))
}

fn show(text: &str) -> io::Result<()> {
    let path = if cfg!(windows) { "CONOUT$" } else { TERMINAL };
    let mut terminal = std::fs::OpenOptions::new().write(true).open(path)?;
    terminal.write_all(text.as_bytes())?;
    terminal.flush()
}

/// Switches echo off *before* the prompt is shown, so that nothing pasted at once is echoed or cut, and brings the
/// terminal back afterwards, also when the user presses Ctrl-C.
struct HiddenInput {
    #[cfg(unix)]
    before: (std::fs::File, rustix::termios::Termios),
    // Dropped last, when the terminal is itself again.
    _held: InterruptsHeld,
}

impl HiddenInput {
    #[cfg(unix)]
    fn begin(prompt: &str) -> io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
        let terminal = std::fs::File::open(TERMINAL)?;
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON);
        let this = Self {
            before: (terminal, before),
            _held: InterruptsHeld::begin()?,
        };
        tcflush(&this.before.0, QueueSelector::IFlush)?;
        tcsetattr(&this.before.0, OptionalActions::Now, &hidden)?;
        show(prompt)?;
        Ok(this)
    }

    #[cfg(not(unix))]
    fn begin(prompt: &str) -> io::Result<Self> {
        let this = Self {
            _held: InterruptsHeld::begin()?,
        };
        show(prompt)?;
        Ok(this)
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcsetattr};
            let (terminal, before) = &self.before;
            // The rest of a paste with a line break in it must not reach the shell as a command.
            let _ = tcflush(terminal, QueueSelector::IFlush);
            let _ = tcsetattr(terminal, OptionalActions::Now, before);
        }
    }
}

/// While this exists, SIGINT does not kill the process, but is remembered: the terminal must be itself again first, or what
/// was made for a while be gone. The handlers stay, and do what the system would do whenever nothing is held.
pub(super) struct InterruptsHeld {
    handlers: &'static Handlers,
}

struct Handlers {
    held: AtomicUsize,
    idle: Arc<AtomicBool>,
    interrupted: Arc<AtomicBool>,
}

impl InterruptsHeld {
    pub(super) fn begin() -> io::Result<Self> {
        static HANDLERS: OnceLock<Handlers> = OnceLock::new();
        let fresh = HANDLERS.get().is_none();
        let handlers = HANDLERS.get_or_init(|| Handlers {
            held: AtomicUsize::new(0),
            idle: Arc::new(AtomicBool::new(false)),
            interrupted: Arc::new(AtomicBool::new(false)),
        });
        handlers.held.fetch_add(1, Ordering::SeqCst);
        handlers.idle.store(false, Ordering::SeqCst);
        let this = Self { handlers };
        if fresh {
            use signal_hook::{consts::SIGINT, flag};
            flag::register_conditional_default(SIGINT, Arc::clone(&handlers.idle))?;
            flag::register(SIGINT, Arc::clone(&handlers.interrupted))?;
        }
        Ok(this)
    }

    /// Whether somebody pressed Ctrl-C.
    #[cfg(feature = "sandbox")]
    pub(super) fn interrupted(&self) -> bool {
        self.handlers.interrupted.load(Ordering::SeqCst)
    }
}

impl Drop for InterruptsHeld {
    fn drop(&mut self) {
        if self.handlers.held.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.handlers.idle.store(true, Ordering::SeqCst);
        }
    }
}
