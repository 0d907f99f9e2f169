//! Clients that would hurt a local server, the proxy or the sandbox: silent, slow, deaf, many, or with much to say. Others are
//! answered all the same.
//!
//! Where a server would hang, a client here gives up after a while, and the test fails.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use support::proxy::Proxy;
use support::{Sandbox, TestEnv};

/// More than any server here has room for.
const MANY: usize = 400;
const PATIENCE: Duration = Duration::from_secs(25);

/// So many connections take more descriptors than a process has by default.
fn allow_many_descriptors() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = hard.min(8192);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
    }
}

/// A connection on which these bytes have been sent.
fn connection(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // One that was given up already is as good.
    let _ = stream.write_all(bytes);
    stream
}

/// The status of the answer; 0 for none.
fn status(mut stream: impl Read) -> u16 {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

fn request(method: &str, path: &str, host: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n")
}

/// A credential in a vault, for an API that is played here.
fn scene(api_url: &str) -> TestEnv {
    let env = TestEnv::with_vault();
    env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "k.pem",
        "--public-key",
        "k.pub",
    ]);
    env.write("token", "e30.e30.e30");
    env.ok(&[
        "import",
        "a",
        "--private-key",
        "k.pem",
        "--token-file",
        "token",
        "--credential-id",
        "cr-1",
        "--offline",
        "--api-url",
        api_url,
    ]);
    env
}

/// An API that hands each request, head and body, to a function, which answers it.
struct Api {
    url: String,
    heads: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Api {
    fn start(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (kept, answer) = (Arc::clone(&heads), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept, answer) = (stream.unwrap(), Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let (mut head, mut length) = (String::new(), 0);
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                            break;
                        }
                        line.make_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        head.push_str(&line);
                    }
                    let _ = reader.take(length).read_to_end(&mut Vec::new());
                    kept.0.lock().unwrap().push(head);
                    kept.1.notify_all();
                    answer(&mut stream);
                });
            }
        });
        Self { url, heads }
    }

    fn fine() -> Self {
        Self::start(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
        })
    }

    fn heads(&self) -> Vec<String> {
        self.heads.0.lock().unwrap().clone()
    }

    fn wait_for(&self, count: usize) {
        let heads = self.heads.0.lock().unwrap();
        let too_few = |heads: &mut Vec<String>| heads.len() < count;
        let (_heads, waited) = self.heads.1.wait_timeout_while(heads, PATIENCE, too_few).unwrap();
        assert!(!waited.timed_out(), "{count} calls come to the API");
    }
}

/// Whether a read through the proxy is answered, on a new connection.
#[track_caller]
fn is_served(proxy: &Proxy, after: &str) {
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    let asked = connection(
        proxy.address(),
        request("GET", "/wallets", proxy.address(), &bearer).as_bytes(),
    );
    assert_eq!(status(asked), 200, "after {after}");
}

#[test]
fn clients_that_keep_the_proxy_waiting_keep_nobody_out() {
    allow_many_descriptors();
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &[]);
    let host = proxy.address().to_owned();
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    for (what, bytes) in [
        ("silence", String::new()),
        ("half a head", format!("GET /wallets HTTP/1.1\r\nhost: {host}\r\n")),
        (
            "a body that never comes, without the token",
            request("POST", "/wallets", &host, "content-length: 10\r\n"),
        ),
        (
            "a body that never comes",
            request("POST", "/wallets", &host, &format!("{bearer}content-length: 10\r\n")),
        ),
        (
            "a long body that never comes",
            request(
                "POST",
                "/wallets",
                &host,
                &format!("{bearer}content-length: 8000000\r\n"),
            ),
        ),
        (
            "a long body that stops",
            request(
                "POST",
                "/wallets",
                &host,
                &format!("{bearer}content-length: 8000000\r\n"),
            ) + &"x".repeat(70_000),
        ),
        (
            "parts that never come",
            request(
                "POST",
                "/wallets",
                &host,
                &format!("{bearer}transfer-encoding: chunked\r\n"),
            ) + "ffff\r\n",
        ),
        (
            "an answered request, and silence",
            request("GET", "/wallets", &host, &bearer),
        ),
    ] {
        let held: Vec<TcpStream> = (0..MANY).map(|_| connection(&host, bytes.as_bytes())).collect();
        is_served(&proxy, what);
        is_served(&proxy, what);
        drop(held);
    }
    let run = proxy.stop();
    assert!(run.code == 0 && !run.stderr.contains("warning"), "{run:?}");
}

#[test]
fn a_client_that_has_shown_the_token_stays_before_those_that_have_not() {
    allow_many_descriptors();
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &[]);
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    let asking = request("GET", "/wallets", proxy.address(), &bearer);
    let mut kept = connection(proxy.address(), asking.as_bytes());
    let mut ask_again = || {
        let mut reader = BufReader::new(kept.try_clone().unwrap());
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            assert!(
                reader.read_line(&mut answer).unwrap() > 0,
                "the connection is kept: {answer}"
            );
        }
        reader.read_exact(&mut [0; 2]).unwrap();
        kept.write_all(asking.as_bytes()).unwrap();
    };
    ask_again();
    let held: Vec<TcpStream> = (0..MANY).map(|_| connection(proxy.address(), b"")).collect();
    is_served(&proxy, "silence");
    ask_again();
    drop(held);
}

/// Nobody can be given up while all wait for the API; who comes then waits for the first that is done.
#[test]
fn more_requests_than_there_is_room_for_are_all_answered() {
    allow_many_descriptors();
    let (go, gate) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new((Mutex::new(()), Condvar::new())),
    );
    let (may_go, wait) = (Arc::clone(&go), Arc::clone(&gate));
    let api = Api::start(move |stream| {
        let held = wait.0.lock().unwrap();
        drop(wait.1.wait_while(held, |()| !may_go.load(Ordering::SeqCst)).unwrap());
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
    });
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &["--rate-limit", "100000"]);
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    let asking = request("GET", "/wallets", proxy.address(), &bearer);
    let asked: Vec<TcpStream> = (0..300)
        .map(|_| connection(proxy.address(), asking.as_bytes()))
        .collect();
    api.wait_for(200);
    let held = gate.0.lock().unwrap();
    go.store(true, Ordering::SeqCst);
    gate.1.notify_all();
    drop(held);
    for stream in asked {
        assert_eq!(status(stream), 200);
    }
}

#[test]
fn a_socket_is_as_patient_as_a_port() {
    allow_many_descriptors();
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &["--listen", "unix:s"]);
    let connect = || {
        let stream = UnixStream::connect(env.path("s")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let held: Vec<UnixStream> = (0..MANY).map(|_| connect()).collect();
    let mut asked = connect();
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    asked
        .write_all(request("GET", "/wallets", "any", &bearer).as_bytes())
        .unwrap();
    assert_eq!(status(asked), 200);
    drop(held);
}

/// Each asks for an answer without end, and reads nothing of it.
#[test]
fn clients_that_do_not_read_their_answers_keep_nobody_out() {
    allow_many_descriptors();
    let api = Api::start(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        while stream.write_all(&[b'x'; 8 * 1024]).is_ok() {}
    });
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &["--rate-limit", "100000"]);
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    let asking = request("GET", "/wallets", proxy.address(), &bearer);
    let held: Vec<TcpStream> = (0..300)
        .map(|_| connection(proxy.address(), asking.as_bytes()))
        .collect();
    is_served(&proxy, "deaf clients");
    drop(held);
}

#[test]
fn a_body_that_does_not_come_is_refused_and_told_of() {
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &[]);
    let more = format!("authorization: {}\r\ncontent-length: 10\r\n", proxy.bearer());
    let mut slow = connection(
        proxy.address(),
        request("POST", "/wallets", proxy.address(), &more).as_bytes(),
    );
    slow.write_all(b"12345").unwrap();
    slow.set_read_timeout(None).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("did not come"),
        "{answer}"
    );
    assert!(api.heads().is_empty(), "nothing was sent on");
    assert_eq!(proxy.stop().code, 0);
    assert!(env.ok(&["log", "a"]).contains("POST /wallets 408"));
}

/// The most memory that a process had, where the system tells.
fn peak_kib(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn long_bodies_are_taken_a_few_at_a_time() {
    let api = Api::start(|stream| {
        let body = r#"{"message":"no"}"#;
        let head = format!(
            "HTTP/1.1 403 No\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()));
    });
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &["--rate-limit", "100000"]);
    let body = vec![b'x'; 8 * 1024 * 1024];
    let more = format!(
        "authorization: {}\r\ncontent-length: {}\r\n",
        proxy.bearer(),
        body.len()
    );
    // Those that are signed take more work, and more memory each.
    for (method, count) in [("GET", 100), ("POST", 12)] {
        let head = request(method, "/wallets", proxy.address(), &more);
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..count)
                .map(|_| {
                    scope.spawn(|| {
                        let mut stream = TcpStream::connect(proxy.address()).unwrap();
                        stream.write_all(head.as_bytes()).unwrap();
                        stream.write_all(&body).unwrap();
                        status(stream)
                    })
                })
                .collect();
            for client in clients {
                assert_eq!(
                    client.join().unwrap(),
                    403,
                    "each is passed on, and its refusal handed back"
                );
            }
        });
    }
    assert_eq!(api.heads().len(), 112);
    if let Some(peak) = peak_kib(proxy.child.id()) {
        assert!(peak < 256 * 1024, "{peak} KiB");
    }
}

#[test]
fn a_body_longer_than_is_held_is_refused_before_it_is_read() {
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &[]);
    let authorization = format!("authorization: {}\r\n", proxy.bearer());
    let stated = format!("{authorization}content-length: 100000000000\r\n");
    let stream = connection(
        proxy.address(),
        request("POST", "/wallets", proxy.address(), &stated).as_bytes(),
    );
    assert_eq!(status(stream), 413);
    let in_parts = format!("{authorization}transfer-encoding: chunked\r\n");
    let mut stream = connection(
        proxy.address(),
        request("POST", "/wallets", proxy.address(), &in_parts).as_bytes(),
    );
    let part = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    // It may be refused, and the connection closed, while this is still being sent.
    while stream.write_all(&part).is_ok() {}
    assert!(api.heads().is_empty());
    is_served(&proxy, "too long a body");
}

#[test]
fn a_hostile_path_costs_nothing_whatever_is_permitted() {
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(
        &env,
        &[
            "--allow",
            "GET /**a**a**a**a**b",
            "--allow",
            "GET /*a*a*a*a*a*a*b",
            "--allow",
            "GET /wallets",
        ],
    );
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    for (path, refused) in [
        (format!("/{}", "a".repeat(2_000)), 403),
        (format!("/{}", "a/".repeat(900) + "a"), 403),
        (format!("/{}", "a".repeat(8_000)), 400),
        (format!("/{}", "%2e".repeat(8_000)), 400),
        (format!("/{}", "../".repeat(8_000)), 400),
    ] {
        let asked = connection(
            proxy.address(),
            request("GET", &path, proxy.address(), &bearer).as_bytes(),
        );
        assert_eq!(status(asked), refused, "{} …", &path[..10]);
    }
    let head = format!("x: {}\r\n{bearer}", "a".repeat(100_000));
    let asked = connection(
        proxy.address(),
        request("GET", "/wallets", proxy.address(), &head).as_bytes(),
    );
    assert_eq!(status(asked), 431);
    is_served(&proxy, "hostile paths");
    assert_eq!(api.heads().len(), 1, "nothing of it was sent on");
}

#[test]
fn what_could_mean_another_call_upstream_is_refused_or_not_sent_on() {
    let api = Api::fine();
    let env = scene(&api.url);
    let proxy = Proxy::start(&env, &["--read-only"]);
    let bearer = format!("authorization: {}\r\n", proxy.bearer());
    let ask = |method: &str, path: &str, more: &str| {
        let more = format!("{bearer}{more}");
        status(connection(
            proxy.address(),
            request(method, path, proxy.address(), &more).as_bytes(),
        ))
    };
    for (method, path) in [
        ("GET", "/wallets/..;/auth"),
        ("GET", "/wallets/%2e%2e/auth"),
        ("GET", "/wallets/%c0%ae%c0%ae/auth"),
        ("GET", "/wallets%c0%afauth"),
        ("GET", "/wallets%ef%bc%8fauth"),
        ("GET", "/wallets%5c..%5cauth"),
        ("GET", "/wallets%00"),
        ("GET", "//wallets"),
        ("GET", "/wallets;x=/auth"),
        ("GET", "/%77allets"),
        ("GET", "/wallets?_method=DELETE"),
        ("GET", "/wallets?a=b&%5fMethod=PUT"),
        ("TRACE", "/wallets"),
        ("PROPFIND", "/wallets"),
        ("get", "/wallets"),
    ] {
        assert_eq!(ask(method, path, ""), 400, "{method} {path}");
    }
    assert!(api.heads().is_empty(), "nothing of it was sent on");
    let overriding = "x-http-method-override: DELETE\r\nX-HTTP-Method: PUT\r\nX-Method-Override: PUT\r\n\
                      x-original-url: /auth/users\r\nX-Rewrite-URL: /auth\r\nforwarded: host=a\r\nX_HTTP_Method_Override: PUT\r\n\
                      X-Forwarded-Prefix: /auth\r\nx-mine: kept\r\n";
    assert_eq!(ask("GET", "/wallets?a=b", overriding), 200);
    let heads = api.heads();
    let [head] = &heads[..] else { panic!("{heads:?}") };
    assert!(
        head.starts_with("get /wallets?a=b http/1.1") && head.contains("x-mine: kept"),
        "{head}"
    );
    for name in ["override", "x-http-method", "x-original", "x-rewrite", "forwarded"] {
        assert!(!head.contains(name), "{name}: {head}");
    }
}

/// What a process has in memory, but for what it has of files.
#[cfg(target_os = "linux")]
fn memory(process: u32) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(format!("/proc/{process}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.contains("rw")) {
        let range = line.split(' ').next()?;
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        let mut part = vec![0; usize::try_from(end - start).ok()?];
        if file.read_exact_at(&mut part, start).is_ok() {
            memory.extend_from_slice(&part);
        }
    }
    Some(memory)
}

#[test]
#[cfg(target_os = "linux")]
fn a_running_proxy_has_forgotten_the_passphrase() {
    let env = TestEnv::new();
    let passphrase = "correct-horse-battery-staple-4711";
    env.write("passphrase", passphrase);
    env.ok(&["init", "--passphrase-file", "passphrase"]);
    let sandbox = Sandbox::start();
    env.write("token", env.prepare(&sandbox, "a"));
    env.ok(&[
        "onboard",
        "a",
        "--token-file",
        "token",
        "--passphrase-file",
        "passphrase",
    ]);
    let by_file = Proxy::start(&env, &["--passphrase-file", "passphrase"]);
    let by_environment = Proxy::start_with(&env, &[], &[("DFNS_KEYS_PASSPHRASE", passphrase)]);
    for proxy in [by_file, by_environment] {
        assert_eq!(proxy.call("GET", "/wallets", "").status, 200);
        let process = proxy.child.id();
        let Some(memory) = memory(process) else {
            return support::skipped("the memory of another process cannot be read here");
        };
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap();
        let holds = |memory: &[u8], text: &str| memory.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(holds(&memory, &proxy.token), "its memory is what is looked at");
        assert!(!holds(&memory, &passphrase[..16]) && !holds(&memory, &passphrase[17..]));
        assert!(!holds(&environment, &passphrase[..16]));
    }
}

/// As root, which may lock as much as it likes; for anybody else it is as the limit on locked memory has it.
#[test]
#[cfg(target_os = "linux")]
fn what_a_running_proxy_holds_is_not_swapped_out() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let proxy = Proxy::start(&env, &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.child.id())).unwrap();
    if !rustix::process::geteuid().is_root() {
        return support::skipped("only root may lock all of its memory, whatever the limit is");
    }
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(locked > 1024, "{locked} kB are locked");
    assert_eq!(proxy.call("GET", "/wallets", "").status, 200);
}

/// Root of a user namespace, as a container has it, may lock no more than its limit. With all of its memory locked, whatever came later
/// would find no room, such as the stretching of a passphrase.
#[test]
#[cfg(target_os = "linux")]
fn under_a_limit_root_of_a_namespace_locks_nothing() {
    if !(support::peer("strace") && support::peer("unshare")) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return support::skipped("only root is asked for no limit elsewhere");
    }
    let env = TestEnv::new();
    let locks = |inside: &[&str]| {
        let line = "ulimit -l 64; exec \"$@\"";
        let mut command = env.bare("sh");
        command.args(["-c", line, "sh"]).args(inside);
        command.args([
            "strace",
            "-o",
            "trace",
            "-e",
            "trace=mlockall",
            support::PROGRAM,
            "--version",
        ]);
        let started = command.output().unwrap().status.success();
        started.then(|| std::fs::read_to_string(env.path("trace")).unwrap().contains("mlockall"))
    };
    assert_eq!(locks(&[]), Some(true), "that it locks is seen");
    match locks(&["unshare", "--user", "--map-root-user"]) {
        Some(locks) => assert!(!locks),
        None => support::lacking("no user namespaces here"),
    }
}

/// A program under `exec` gets the limit back that its user has.
#[test]
#[cfg(target_os = "linux")]
fn a_running_proxy_leaves_no_core_dump() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    if maximum == Some(0) {
        return support::skipped("no process here may leave a core dump");
    }
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Core, all).unwrap();
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let core = |limits: &str| {
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        let words: Vec<String> = line.unwrap().split_whitespace().map(str::to_owned).collect();
        words[4].clone()
    };
    let proxy = Proxy::start(&env, &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.child.id())).unwrap();
    assert_eq!(core(&limits), "0");
    let ours = std::fs::read_to_string("/proc/self/limits").unwrap();
    let read = "while read -r line; do echo \"$line\"; done </proc/self/limits";
    let given_back = env.ok(&["exec", "a", "--", "sh", "-c", read]);
    assert_eq!(core(&given_back), core(&ours));
}

/// A sandbox that may have few descriptors.
struct Narrow {
    child: Child,
    address: String,
}

impl Narrow {
    fn start() -> Self {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "ulimit -n 64; exec \"$0\" --quiet sandbox", support::PROGRAM])
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
        let url = ready["url"].as_str().unwrap();
        Self {
            child,
            address: url.trim_start_matches("http://").to_owned(),
        }
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn clients_that_keep_the_sandbox_waiting_keep_nobody_out() {
    allow_many_descriptors();
    let sandbox = Sandbox::start();
    let narrow = Narrow::start();
    for address in [sandbox.address(), narrow.address.as_str()] {
        for bytes in [
            String::new(),
            request("POST", "/auth/action/init", address, "content-length: 10\r\n"),
            request("POST", "/auth/action/init", address, "content-length: 1000000\r\n"),
        ] {
            let held: Vec<TcpStream> = (0..MANY).map(|_| connection(address, bytes.as_bytes())).collect();
            let asked = connection(address, request("GET", "/", address, "").as_bytes());
            assert_eq!(status(asked), 200, "{bytes}");
            drop(held);
        }
    }
}
