use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Args;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::terminal::{self, InterruptsHeld};
use crate::cli::ui::Tone;
use crate::sys::files::{self, IfExists, Readable};

/// Show the main job in a sandbox
///
/// Onboard, verify, a wrong token diagnosed, deliver, rotate, export. Runs this very program, command by command, against a sandbox on loopback and a vault in a temporary directory. Nothing
/// outside that directory is touched, and nothing leaves this machine. On a terminal it waits for Enter before each step;
/// --yes runs through.
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys demo")]
pub(in crate::cli) struct DemoArgs {}

impl DemoArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let stage = Stage::set(context)?;
        match stage.play() {
            // Whatever failed first: it was Ctrl-C that ended it.
            Err(_) if stage.held.interrupted() => Err(stopped()),
            played => played.map(|()| Exit::Done),
        }
    }
}

const PASSPHRASE: &str = "demo passphrase, worth nothing";

/// What a reader has to know, a sentence each.
const WORDS: [(&str, &str); 4] = [
    (
        "Dfns",
        "keeps wallets for companies, whose programs make transactions with them through its API.",
    ),
    (
        "A service account",
        "is who such a program is to Dfns: it has a token, which says who calls, and a key pair.",
    ),
    (
        "User action signing",
        "is Dfns's rule that a call which changes something is signed with the private key, too: a stolen token alone moves nothing.",
    ),
    (
        "Sealed",
        "is what is encrypted to the vault's own key, which is encrypted under your passphrase: the file alone is of no use to anybody.",
    ),
];

/// A temporary directory, a running sandbox, and the program to run.
struct Stage<'a> {
    context: &'a Context,
    directory: tempfile::TempDir,
    program: PathBuf,
    sandbox: SandboxProcess,
    // Dropped last: Ctrl-C stops the demonstration, and what it made goes with it.
    held: InterruptsHeld,
}

struct SandboxProcess {
    child: Child,
    url: String,
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        // It holds nothing worth a clean stop; it may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Stage<'a> {
    fn set(context: &'a Context) -> Result<Self, Failure> {
        let held = InterruptsHeld::begin().map_err(broken("signals"))?;
        let directory = tempfile::Builder::new()
            // With a dot, for a place below it is not to look like a secret.
            .prefix("dfns-keys-demo.")
            .tempdir()
            .map_err(broken("a temporary directory"))?;
        let program = std::env::current_exe().map_err(broken("this program's path"))?;
        let mut child = of_its_own(&program)
            .args(["--quiet", "sandbox"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(broken("the sandbox"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(broken("the sandbox"))?;
        }
        let url = serde_json::from_str::<Value>(&line)
            .ok()
            .and_then(|ready| ready["url"].as_str().map(str::to_owned));
        let Some(url) = url else {
            let _ = child.kill();
            return Err(Failure::new(Exit::Other, "demo", "the sandbox did not start"));
        };
        Ok(Self {
            context,
            directory,
            program,
            sandbox: SandboxProcess { child, url },
            held,
        })
    }

    fn play(&self) -> Result<(), Failure> {
        self.say(&format!(
            "This runs dfns-keys for real, against a sandbox that plays Dfns on {}. Lines that start with $ are commands you could type. Four words first:",
            self.sandbox.url
        ));
        for (word, meaning) in WORDS {
            self.context
                .ui
                .say(&self.context.ui.wrapped(&format!("{word} {meaning}"), "  ").replacen(
                    word,
                    &Tone::Strong.paint(word),
                    1,
                ));
        }
        self.tell(
            "First a vault, which keeps keys and tokens sealed. Its own key is made, and encrypted under a passphrase.",
        )?;
        self.run(&["init"], 0)?;

        self.tell("A service account in two halves. The first makes a key, seals it, and only then shows its public half, which is all that leaves the vault.")?;
        let url = self.sandbox.url.as_str();
        let public = self.run(&["onboard", "payments-api", "--prepare", "--api-url", url], 0)?;

        self.tell("Now a person pastes that public key into the dashboard. Here the sandbox's page takes it, and shows a token once.")?;
        let token = self.dashboard("payments-api", &public)?;
        let others = self.run(&["onboard", "reports", "--prepare", "--api-url", url], 0)?;
        let other_token = self.dashboard("reports", &others)?;
        let (right, wrong) = (
            self.file("token.txt", &token)?,
            self.file("wrong-token.txt", &other_token)?,
        );

        self.tell("What if the token of another account is pasted? The signed test call finds out before anything relies on it, and changes nothing.")?;
        self.run(&["onboard", "payments-api", "--token-file", &wrong], 5)?;

        self.tell("With the right one, token and key are proven together and sealed as active.")?;
        self.run(&["onboard", "payments-api", "--token-file", &right], 0)?;

        self.tell("Before a deployment: is it safe to use?")?;
        self.run(&["verify", "payments-api"], 0)?;

        self.rotate()?;

        self.tell("Hand it over to Postman, and check what was handed over before anybody relies on it.")?;
        self.run(
            &[
                "export",
                "payments-api",
                "--format",
                "postman-environment",
                "--output",
                "payments.postman_environment.json",
            ],
            0,
        )?;
        self.run(
            &[
                "verify",
                "--postman",
                "payments.postman_environment.json",
                "--api-url",
                url,
            ],
            0,
        )?;

        self.tell("What is there? Public metadata needs no passphrase.")?;
        self.run(&["list"], 0)?;
        self.run(&["log"], 0)?;

        self.say("That is all. The sandbox stops, and the temporary vault is deleted.");
        self.say("Your turn:  dfns-keys init, then dfns-keys onboard NAME");
        Ok(())
    }

    /// A new key, and the one place that has to have it before the old one goes.
    fn rotate(&self) -> Result<(), Failure> {
        // Places that are files are for systems whose paths begin with a slash.
        let folder = self.directory.path().join("service");
        let place = folder.join("payments.env");
        let target = place.to_str().map(|path| format!("file:{path}")).filter(|_| cfg!(unix));
        if let Some(target) = &target {
            self.tell("A service reads it from a file. That place is named once; from then on it is kept up to date, and known to have the key.")?;
            files::create_private_directory(&folder)?;
            self.run(&["deliver", "payments-api", "--to", target], 0)?;
        }
        self.tell(
            "Time for a new key. It is registered, proven and made active; the old one works on until it is retired.",
        )?;
        if target.is_some() {
            self.say("Without a grace period that would be at once. But today the service's disk is away, and its file cannot be replaced: so the old key stays.");
            files::remove(&place)?;
            std::fs::remove_dir(&folder).map_err(broken("the service's folder"))?;
            self.run(&["rotate", "payments-api", "--grace", "0", "--yes"], 7)?;
            self.tell("The disk is back. The next run delivers the new key, reads it back, and only then has the old one refused.")?;
            files::create_private_directory(&folder)?;
            self.run(&["rotate", "payments-api"], 0)?;
        } else {
            self.run(&["rotate", "payments-api"], 0)?;
            self.run(&["rotate", "payments-api", "--finish"], 0)?;
        }
        self.run(&["verify", "payments-api", "--strict", "--quiet"], 0)?;
        Ok(())
    }

    /// Begins a chapter, when the reader is through with the one before.
    fn tell(&self, text: &str) -> Result<(), Failure> {
        if self.context.is_read_along() {
            terminal::pause("\nEnter to go on, Ctrl-C to stop: ").map_err(|error| match error.kind() {
                ErrorKind::Interrupted | ErrorKind::UnexpectedEof => stopped(),
                _ => broken("the terminal")(error),
            })?;
        }
        if self.held.interrupted() {
            return Err(stopped());
        }
        self.say(text);
        Ok(())
    }

    fn say(&self, text: &str) {
        self.context
            .ui
            .say(&format!("\n{}", Tone::Strong.paint(&self.context.ui.wrapped(text, ""))));
    }

    fn file(&self, name: &str, contents: &str) -> Result<String, Failure> {
        let path = self.directory.path().join(name);
        files::write(&path, contents.as_bytes(), IfExists::Refuse, Readable::ByOwner)?;
        Ok(name.to_owned())
    }

    /// Runs a command as a user would, shows what it shows, and returns its data.
    fn run(&self, arguments: &[&str], expected: i32) -> Result<String, Failure> {
        if self.held.interrupted() {
            return Err(stopped());
        }
        self.context.ui.say(&format!("$ dfns-keys {}", arguments.join(" ")));
        let output = of_its_own(&self.program)
            .args(arguments)
            .current_dir(self.directory.path())
            .env("DFNS_KEYS_VAULT", Path::new("vault"))
            .env("DFNS_KEYS_PASSPHRASE", PASSPHRASE)
            // Contexts are the reader's, and what the machine remembers of the demonstration's vault goes with it.
            .env("XDG_CONFIG_HOME", self.directory.path().join("config"))
            .env("XDG_STATE_HOME", self.directory.path().join("state"))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(broken("dfns-keys"))?;
        self.context.ui.data(&output.stdout)?;
        if output.status.code() != Some(expected) {
            return Err(Failure::new(
                Exit::Other,
                "demo",
                format!(
                    "the demonstration stopped: `{}` ended unexpectedly",
                    arguments.join(" ")
                ),
            ));
        }
        if expected != 0 {
            self.context.ui.say(&format!("(exit code {expected})"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Fills in the form on the sandbox's page, as a person would.
    fn dashboard(&self, name: &str, public_key: &str) -> Result<String, Failure> {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("kind", "service-account")
            .append_pair("name", name)
            .append_pair("public_key", public_key)
            .finish();
        let address = self.sandbox.url.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).map_err(broken("the sandbox's page"))?;
        write!(
            stream,
            "POST /dashboard/create HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .map_err(broken("the sandbox's page"))?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).map_err(broken("the sandbox's page"))?;
        answer
            .split_once("\r\n\r\n")
            .and_then(|(_, body)| serde_json::from_str::<Value>(body).ok())
            .and_then(|answer| answer["token"].as_str().map(str::to_owned))
            .ok_or_else(|| Failure::new(Exit::Other, "demo", "the sandbox's page gave no token"))
    }
}

/// The program with nothing of what its reader has set for it.
fn of_its_own(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"DFNS_KEYS_") {
            command.env_remove(name);
        }
    }
    command
}

fn stopped() -> Failure {
    let message = "the demonstration was stopped; its sandbox and its vault are gone";
    Failure::new(Exit::Interrupted, "interrupted", message)
}

fn broken(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| {
        Failure::new(
            Exit::Other,
            "demo",
            format!("the demonstration cannot go on: {what}: {error}"),
        )
    }
}
