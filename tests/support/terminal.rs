//! Programs on a terminal of their own.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

const SECONDS: u64 = 120;
/// The line of sh that is the command and nothing else.
const ALONE: &str = "exec \"$0\" \"$@\"";

/// Runs a command on a terminal that echoes what is typed, as a person's does.
pub fn on_terminal(command: &Command) -> PtySession {
    shell_on_terminal(ALONE, command)
}

/// Runs a command on a terminal of so many columns and lines.
pub fn on_terminal_of(columns: u16, lines: u16, command: &Command) -> PtySession {
    start(ALONE, command, Some((columns, lines)))
}

/// Runs a line of sh on such a terminal; `"$0" "$@"` is the command in it.
pub fn shell_on_terminal(line: &str, command: &Command) -> PtySession {
    start(line, command, None)
}

fn start(line: &str, command: &Command, size: Option<(u16, u16)>) -> PtySession {
    let mut shell = Command::new("sh");
    // The terminal starts without echo, in which nothing could ever be seen to leak. So the shell waits until it is on.
    shell
        .args(["-c", &format!("read -r go; {line}")])
        .arg(command.get_program());
    shell.args(command.get_args()).env_clear().env("TERM", "dumb");
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    let mut session = spawn_command(shell, Some(SECONDS * 1000)).unwrap();
    let terminal = session.process().get_file_handle().unwrap();
    while settings(&session).local_modes.contains(LocalModes::ECHO) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let mut echoing = settings(&session);
    echoing.local_modes.insert(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Now, &echoing).unwrap();
    if let Some((columns, lines)) = size {
        let size = Winsize {
            ws_col: columns,
            ws_row: lines,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
    }
    session.send_line("go").unwrap();
    session.exp_string("go").unwrap();
    session
}

/// What the terminal is set to.
pub fn settings(session: &PtySession) -> Termios {
    tcgetattr(session.process().get_file_handle().unwrap()).unwrap()
}

/// Waits for the end, asserts the exit code, and returns what was shown last.
#[track_caller]
pub fn ends(mut session: PtySession, code: i32) -> String {
    let rest = session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    // The type of the status is a library's of rexpect's.
    assert_eq!(
        format!("{status:?}").split(", ").nth(1),
        Some(format!("{code})").as_str()),
        "{status:?} after {rest}"
    );
    rest
}
