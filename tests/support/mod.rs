//! What the tests share: a clean environment for the real program, a real sandbox, and a plain HTTP client.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    reason = "each test program uses its own part of this"
)]

#[cfg(unix)]
pub mod children;
#[cfg(unix)]
pub mod held;
#[cfg(unix)]
pub mod places;
pub mod proxy;
pub mod server;
#[cfg(unix)]
pub mod terminal;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dfns-keys");

/// An empty home with the program in it, and nothing of the developer's own environment.
pub struct TestEnv {
    pub home: TempDir,
}

impl TestEnv {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// With a vault that an identity file opens, which is much faster than a passphrase.
    pub fn with_vault() -> Self {
        let env = Self::new();
        let identity = age::x25519::Identity::generate();
        let text = secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
        std::fs::write(env.path("identity.txt"), format!("{text}\n")).unwrap();
        env.ok(&["init", "--recipient", &identity.to_public().to_string()]);
        env
    }

    /// Seals the vault's identity under its passphrase with less work than `init` does, for those who open it often.
    pub fn quicken(&self, passphrase: &str) {
        let path = self.vault().join("identity.age");
        let sealed = std::fs::read(&path).unwrap();
        let identity: &dyn age::Identity = &age::scrypt::Identity::new(passphrase.to_owned().into());
        let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(&sealed[..])).unwrap();
        let mut text = Vec::new();
        let mut reader = decryptor.decrypt(std::iter::once(identity)).unwrap();
        reader.read_to_end(&mut text).unwrap();
        let mut recipient = age::scrypt::Recipient::new(passphrase.to_owned().into());
        recipient.set_work_factor(10);
        let recipient: &dyn age::Recipient = &recipient;
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
        let mut quick = Vec::new();
        let mut writer = encryptor.wrap_output(&mut quick).unwrap();
        writer.write_all(&text).unwrap();
        writer.finish().unwrap();
        std::fs::write(path, quick).unwrap();
    }

    /// The same under a passphrase in the file `passphrase`, which opens it faster than one that `init` has sealed.
    pub fn with_passphrase(passphrase: &str) -> Self {
        let env = Self::new();
        env.write("passphrase", format!("{passphrase}\n"));
        env.ok(&["init", "--passphrase-file", "passphrase"]);
        env.quicken(passphrase);
        env
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn vault(&self) -> PathBuf {
        self.path("vault")
    }

    pub fn credential_file(&self, name: &str) -> PathBuf {
        self.vault().join("credentials").join(format!("{name}.json"))
    }

    /// The program in this environment, which asks nothing. The one authority it knows has signed nothing; a bare machine
    /// has none at all.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.ours(self.bare(PROGRAM), arguments)
    }

    /// The same, but asking on the terminal where it is started on one.
    pub fn asking(&self, arguments: &[&str]) -> Command {
        self.ours(self.at_home(Command::new(PROGRAM)), arguments)
    }

    fn ours(&self, mut command: Command, arguments: &[&str]) -> Command {
        let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/authority.pem");
        command
            .args(arguments)
            .env("DFNS_KEYS_VAULT", self.vault())
            .env("SSL_CERT_FILE", authority);
        if self.path("identity.txt").exists() {
            command.env("DFNS_KEYS_IDENTITY", self.path("identity.txt"));
        }
        command
    }

    /// Another program in this environment, without a controlling terminal where that can be arranged.
    pub fn bare(&self, program: &str) -> Command {
        self.at_home(if Path::new("/usr/bin/setsid").exists() {
            let mut command = Command::new("/usr/bin/setsid");
            command.arg("--wait").arg(program);
            command
        } else {
            Command::new(program)
        })
    }

    fn at_home(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", self.search_path())
            .env("COLUMNS", "80")
            .env("USER", "tester")
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// The PATH, with the home's own `bin` before it where there is one.
    fn search_path(&self) -> std::ffi::OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = Some(self.path("bin")).filter(|own| own.exists());
        std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap()
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    pub fn run_with_stdin(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses before it reads closes the pipe, which is its right.
        let _ = child.stdin.take().unwrap().write_all(input);
        Run::from(child.wait_with_output().unwrap())
    }

    /// Runs what must succeed and returns its stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        run.stdout
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// Opens a sealed part with the identity file and the age crate alone, with no code of ours.
    pub fn open(&self, name: &str) -> Value {
        let file: Value = serde_json::from_slice(&std::fs::read(self.credential_file(name)).unwrap()).unwrap();
        self.decrypt(file["sealed"].as_str().unwrap().as_bytes())
    }

    fn decrypt(&self, sealed: &[u8]) -> Value {
        let identity = std::fs::read_to_string(self.path("identity.txt")).unwrap();
        let identity: age::x25519::Identity = identity.trim().parse().unwrap();
        let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(sealed)).unwrap();
        let mut text = String::new();
        let identity: &dyn age::Identity = &identity;
        let mut reader = decryptor.decrypt(std::iter::once(identity)).unwrap();
        reader.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Changes what is sealed, and the public part alike, with the age crate alone, as an older version may have left it.
    pub fn reseal(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let identity = std::fs::read_to_string(self.path("identity.txt")).unwrap();
        let identity: age::x25519::Identity = identity.trim().parse().unwrap();
        let mut sealed = self.open(name);
        change(&mut sealed);
        let mut armoured = Vec::new();
        let armour = age::armor::ArmoredWriter::wrap_output(&mut armoured, age::armor::Format::AsciiArmor).unwrap();
        let recipient: &dyn age::Recipient = &identity.to_public();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
        let mut writer = encryptor.wrap_output(armour).unwrap();
        writer.write_all(sealed.to_string().as_bytes()).unwrap();
        writer.finish().unwrap().finish().unwrap();
        let path = self.credential_file(name);
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        file["public"] = sealed["public"].clone();
        file["sealed"] = String::from_utf8(armoured).unwrap().into();
        file["code"] = self.code_of(&file).into();
        std::fs::write(path, file.to_string()).unwrap();
    }

    /// The code of a credential's file, made as docs/decisions/0007 says, with no code of ours.
    pub fn code_of(&self, file: &Value) -> String {
        use hmac::{KeyInit, Mac};
        use sha2::Digest;
        let list = std::fs::read_to_string(self.vault().join("recipients.txt")).unwrap();
        let keys = list.lines().find_map(|line| line.strip_prefix("# keys: ")).unwrap();
        let keys = self.decrypt(&std::fs::read(self.vault().join(keys)).unwrap());
        let secret = |epoch: u64| unhex(keys["secrets"][usize::try_from(epoch).unwrap() - 1].as_str().unwrap());
        let digest = |parts: &[&[u8]]| {
            let mut hash = sha2::Sha256::new();
            for part in parts {
                hash.update(part);
            }
            hex(&hash.finalize())
        };
        let epoch = file["epoch"].as_u64().unwrap();
        let writes: Vec<&str> = file["writes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect();
        let mut fields: Vec<Vec<u8>> = vec![
            digest(&[b"dfns-keys vault id", &secret(1)])[..32].into(),
            epoch.to_be_bytes().into(),
            file["public"]["name"].as_str().unwrap().into(),
            file["revision"].as_u64().unwrap().to_be_bytes().into(),
            (writes.len() as u64).to_be_bytes().into(),
        ];
        fields.extend(writes.iter().map(|id| id.as_bytes().to_vec()));
        fields.push(digest(&[file["sealed"].as_str().unwrap().as_bytes()]).into());
        let mut key = [0_u8; 32];
        hkdf::Hkdf::<sha2::Sha256>::new(None, &secret(epoch))
            .expand(b"dfns-keys/document/2", &mut key)
            .unwrap();
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        for field in &fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        hex(&mac.finalize().into_bytes())
    }

    /// Whether the vault lists a credential of this name.
    pub fn lists(&self, name: &str) -> bool {
        let listed = self.run(&["list", "--json"]).json();
        listed["credentials"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["name"] == name)
    }

    /// Prepares a name, has the sandbox's page make its account, and returns the token.
    pub fn prepare(&self, sandbox: &Sandbox, name: &str) -> String {
        let mut arguments = vec!["onboard", name, "--prepare", "--api-url", &sandbox.url];
        if !self.path("identity.txt").exists() && self.path("passphrase").exists() {
            arguments.extend(["--passphrase-file", "passphrase"]);
        }
        let public = self.ok(&arguments);
        sandbox.create(name, &public)
    }

    /// Onboards a name from nothing to active.
    pub fn onboard(&self, sandbox: &Sandbox, name: &str) -> String {
        let token = self.prepare(sandbox, name);
        self.write("token.txt", &token);
        self.ok(&["onboard", name, "--token-file", "token.txt"]);
        token
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        use std::fmt::Write as _;
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// What a run of a program left behind.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Asserts exit code and words on stderr.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing: {self:?}");
        }
        assert!(
            !self.stderr.contains("panicked") && !self.stderr.contains("this is a bug"),
            "{self:?}"
        );
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON document ({error}): {self:?}"))
    }
}

/// The program's own sandbox, as another process.
pub struct Sandbox {
    child: Child,
    pub url: String,
}

impl Sandbox {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--quiet", "sandbox"])
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self {
            child,
            url: ready["url"].as_str().unwrap().to_owned(),
        }
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Sends one of the dashboard's forms and reads its answer as JSON.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        Self::form_at(self.address(), path, fields)
    }

    fn form_at(address: &str, path: &str, fields: &[(&str, &str)]) -> Value {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let headers = [
            ("host", address),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        ];
        let answer = http(address, "POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A one-time code for a user, who is made where there is none of the name.
    pub fn code(&self, username: &str) -> String {
        let answer = self.form("/dashboard/code", &[("username", username)]);
        answer["code"].as_str().unwrap().to_owned()
    }

    /// The service accounts and personal access tokens there are.
    pub fn accounts(&self) -> Vec<Value> {
        let answer = self.http("GET", "/sandbox/identities", &[], b"").json();
        let all = answer["identities"].as_array().unwrap().clone();
        all.into_iter().filter(|identity| identity["kind"] != "User").collect()
    }

    /// Fills in the dashboard's form and returns the token.
    pub fn create(&self, name: &str, public_key: &str) -> String {
        self.create_with(&[("kind", "service-account"), ("name", name), ("public_key", public_key)])["token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The same at another sandbox.
    pub fn create_at(address: &str, name: &str, public_key: &str) -> String {
        let fields = [("name", name), ("public_key", public_key)];
        let answer = Self::form_at(address, "/dashboard/create", &fields);
        answer["token"].as_str().unwrap().to_owned()
    }

    pub fn create_with(&self, fields: &[(&str, &str)]) -> Value {
        self.form("/dashboard/create", fields)
    }

    /// Switches the account of a token on or off.
    pub fn switch(&self, token: &str) {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let claims = Base64UrlUnpadded::decode_vec(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let body = format!("token_id={}", claims["jti"].as_str().unwrap());
        let answer = self.http(
            "POST",
            "/dashboard/switch",
            &[("content-type", "application/x-www-form-urlencoded")],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub fn fault(&self, fault: &Value) {
        let answer = self.post_json("/sandbox/faults", fault);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub fn clear_faults(&self) {
        self.http("DELETE", "/sandbox/faults", &[], b"");
    }

    pub fn clock_offset(&self, seconds: i64) {
        let answer = self.post_json("/sandbox/settings", &json!({"clock_offset_s": seconds}));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.http(
            "POST",
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    /// The calls answered so far, as `METHOD path status`, without the sandbox's own.
    pub fn calls(&self) -> Vec<String> {
        let answer = self.http("GET", "/sandbox/calls", &[], b"").json();
        answer["calls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| {
                let path = call["path"].as_str().unwrap();
                !path.starts_with("/sandbox/") && !path.starts_with("/dashboard/")
            })
            .map(|call| {
                format!(
                    "{} {} {}",
                    call["method"].as_str().unwrap(),
                    call["path"].as_str().unwrap(),
                    call["status"]
                )
            })
            .collect()
    }

    pub fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let host = self.address().to_owned();
        let mut all = vec![("host", host.as_str())];
        all.extend_from_slice(headers);
        http(self.address(), method, path, &all, body)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// One HTTP/1.1 request with exactly these headers, on a connection of its own.
pub fn http(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            request.push_str(part);
        }
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// Whether a program that judges our output is here. On a machine with nothing but a Rust toolchain it may be missing,
/// and then the test says so; `make check` installs them all and demands them.
pub fn peer(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|directory| directory.join(program).is_file());
    assert!(
        found || std::env::var_os("DFNS_KEYS_TEST_PEERS").is_none(),
        "{program} is required here and missing"
    );
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

/// Says that a part of a test could not be done for want of what the machine has not. Where the tests are judged, it must have it.
pub fn lacking(what: &str) {
    assert!(
        std::env::var_os("DFNS_KEYS_TEST_PEERS").is_none(),
        "required here and missing: {what}"
    );
    skipped(what);
}

/// Says that a part of a test could not be done here.
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Gives a file a mode, where files have modes.
pub fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// The mode of a file or directory, without its type.
#[cfg(unix)]
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Gives a file, or a directory with all that is in it, to another user.
#[cfg(unix)]
pub fn give_away(path: &Path, user: u32) {
    std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path(), user);
        }
    }
}

/// Copies a directory with all that is in it, for its owner alone.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    set_mode(to, 0o700);
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            set_mode(&target, 0o600);
        }
    }
}

/// Sends a signal to a process that the test started and has not waited for.
#[cfg(unix)]
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// Runs a peer and returns its stdout, having asserted that it succeeded.
pub fn peer_ok(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
