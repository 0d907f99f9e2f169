//! The signing proxy, as clients without a key use it, and as those who should not try it.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::proxy::Proxy;
use support::{Answer, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
    real_token: String,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(sandbox: &[&str]) -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start_with(sandbox);
        let real_token = env.onboard(&sandbox, "a");
        Self {
            env,
            sandbox,
            real_token,
        }
    }

    fn proxy(&self, arguments: &[&str]) -> Proxy {
        Proxy::start(&self.env, arguments)
    }

    /// The calls that reached the API since, without those of the signing itself.
    fn calls_since(&self, before: usize) -> Vec<String> {
        let calls = self.sandbox.calls();
        let calls = calls[before..].iter().filter(|call| !call.contains("/auth/action"));
        calls.cloned().collect()
    }
}

const WALLET: &str = r#"{ "name": "Zoë — 日本",  "network":"EthereumSepolia" }"#;

#[test]
fn a_client_without_a_key_makes_signed_calls() {
    let scene = Scene::new();
    let proxy = scene.proxy(&[]);
    let before = scene.sandbox.calls().len();
    let answer = proxy.call("GET", "/wallets?limit=1", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"items":[]}"#));
    assert_eq!(scene.sandbox.calls().len() - before, 1, "a read is one request");
    // The sandbox signs for these very bytes: spaces, order and non-ASCII text stay as they are.
    let answer = proxy.call("POST", "/wallets", WALLET);
    assert_eq!((answer.status, &answer.json()["name"]), (200, &json!("Zoë — 日本")));
    assert_eq!(scene.sandbox.calls().len() - before, 4, "a signed call is three");
    // Refusals of the API's are handed back as they are.
    assert_eq!(proxy.call("GET", "/nowhere", "").status, 404);
    assert_eq!(proxy.call("POST", "/wallets", "{}").status, 400);
    // What a client signs itself, or claims to, does not count.
    let forged = [
        ("authorization", proxy.bearer()),
        ("x-dfns-useraction", "forged".to_owned()),
    ];
    let forged = forged.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(proxy.call_with("POST", "/wallets", &forged, WALLET).status, 200);
    let run = proxy.stop();
    assert_eq!(run.code, 0, "{run:?}");
    let log = scene.env.run(&["log", "a", "--json"]).json();
    let lines: Vec<&str> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["action"] == "proxied")
        .map(|event| event["detail"].as_str().unwrap())
        .collect();
    let expected = [
        "GET /wallets 200",
        "POST /wallets 200",
        "GET /nowhere 404",
        "POST /wallets 400",
        "POST /wallets 200",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn strangers_do_not_get_through() {
    let scene = Scene::new();
    let began = Instant::now();
    let proxy = scene.proxy(&[]);
    let before = scene.sandbox.calls().len();
    let bearer = proxy.bearer();
    let ours = ("authorization", bearer.as_str());
    let real = format!("Bearer {}", scene.real_token);
    let short = &bearer[..bearer.len() - 1];
    let long = format!("{bearer}x");
    for (headers, status) in [
        (&[][..], 401),
        (&[("authorization", "Bearer x")], 401),
        (&[("authorization", short)], 401),
        (&[("authorization", long.as_str())], 401),
        (&[("authorization", proxy.token.as_str())], 401),
        // The real token is no key to this door.
        (&[("authorization", real.as_str())], 401),
        (&[ours, ("authorization", "Bearer x")], 401),
        (&[ours, ("origin", "https://evil.example")], 403),
        (&[ours, ("origin", "null")], 403),
        (&[ours, ("origin", proxy.url.as_str())], 403),
        (&[ours, ("sec-fetch-site", "cross-site")], 403),
        (&[ours, ("host", "evil.example")], 421),
    ] {
        let answer = proxy.call_with("POST", "/wallets", headers, WALLET);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert_eq!(answer.json()["error"]["id"], "dfns-keys-proxy");
    }
    // A name that somebody made to mean loopback: DNS rebinding.
    let rebound = [("host", "evil.example"), ours];
    assert_eq!(
        support::http(proxy.address(), "GET", "/wallets", &rebound, b"").status,
        421
    );
    assert_eq!(proxy.call("GET", "http://evil.example/wallets", "").status, 421);
    for path in [
        "/a/../wallets",
        "//wallets",
        "/wallets/%2e%2e/x",
        "/wallets%2Fx",
        "/wallets/",
    ] {
        assert_eq!(proxy.call("GET", path, "").status, 400, "{path}");
    }
    assert_eq!(scene.sandbox.calls().len(), before, "the API heard of none of it");
    let run = proxy.stop();
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    let log = scene.env.ok(&["log", "a"]);
    let lines = log.lines().filter(|line| line.ends_with(" refused")).count();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(
        (1..=seconds + 2).contains(&lines),
        "strangers cannot fill the log: {log}"
    );
}

#[test]
fn only_what_is_permitted_goes_through() {
    let scene = Scene::new();
    let proxy = scene.proxy(&["--allow", "POST /wallets", "--allow", "GET /wallets/**"]);
    let before = scene.sandbox.calls().len();
    assert_eq!(proxy.call("POST", "/wallets", WALLET).status, 200);
    assert_eq!(proxy.call("GET", "/wallets/wa-1/transfers", "").status, 404);
    for (method, path) in [
        ("GET", "/wallets"),
        ("POST", "/wallets/import"),
        ("DELETE", "/wallets"),
        ("GET", "/auth/pats"),
    ] {
        let answer = proxy.call(method, path, "");
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.body.contains("does not let this call through"));
    }
    assert_eq!(
        scene.calls_since(before),
        ["POST /wallets 200", "GET /wallets/wa-1/transfers 404"]
    );
    drop(proxy);
    let proxy = scene.proxy(&["--read-only"]);
    assert_eq!(proxy.call("GET", "/wallets", "").status, 200);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = proxy.call(method, "/wallets", WALLET);
        assert!(answer.status == 403 && answer.body.contains("reads"), "{answer:?}");
    }
}

#[test]
fn a_socket_is_for_its_owner_and_gone_at_the_end() {
    let scene = Scene::new();
    let proxy = scene.proxy(&["--listen", "unix:dfns.sock"]);
    assert_eq!(proxy.url, "unix:dfns.sock");
    let path = scene.env.path("dfns.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        let request = format!(
            "GET /wallets HTTP/1.1\r\nhost: any\r\nauthorization: {}\r\nconnection: close\r\n\r\n",
            proxy.bearer()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask().contains("200 OK"));
    // One that somebody listens on is not taken away, nor is a file that is none.
    scene
        .env
        .run(&["proxy", "a", "--listen", "unix:dfns.sock"])
        .fails(1, &["cannot listen on unix:dfns.sock"]);
    assert!(ask().contains("200 OK"));
    scene.env.write("file", "kept");
    scene
        .env
        .run(&["proxy", "a", "--listen", "unix:file"])
        .fails(1, &["cannot listen"]);
    assert_eq!(std::fs::read_to_string(scene.env.path("file")).unwrap(), "kept");
    assert_eq!(proxy.stop().code, 0);
    assert!(!path.exists());
    // One that a killed proxy left behind is taken over.
    let mut killed = scene.proxy(&["--listen", "unix:dfns.sock"]);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(path.exists());
    drop(scene.proxy(&["--listen", "unix:dfns.sock"]));
}

#[test]
fn a_rotation_goes_on_behind_it_and_no_call_fails() {
    let scene = Scene::new();
    let proxy = scene.proxy(&[]);
    let rotated = AtomicBool::new(false);
    let mut made = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                // The harshest way: the old key is refused at once.
                scene.env.ok(&["rotate", "a", "--grace", "0"]);
            }
            rotated.store(true, Ordering::Release);
        });
        let mut afterwards = 0;
        while afterwards < 3 {
            let answer = proxy.call("POST", "/wallets", WALLET);
            assert_eq!(answer.status, 200, "call {made}: {answer:?}");
            made += 1;
            afterwards += u32::from(rotated.load(Ordering::Acquire));
        }
    });
    assert!(made > 5, "{made}");
    drop(proxy.stop());
    let new = scene.env.ok(&["show", "a", "--fingerprint"]);
    let log = scene.env.ok(&["log", "a", "--wide"]);
    let last = log.lines().rfind(|line| line.contains("proxied")).unwrap();
    assert!(last.contains(new.trim()), "{last}");
}

#[test]
fn a_stop_finishes_what_was_begun() {
    let scene = Scene::with(&["--latency", "300"]);
    let proxy = scene.proxy(&[]);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| proxy.call("POST", "/wallets", WALLET)))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        while scene
            .sandbox
            .calls()
            .iter()
            .filter(|call| call.contains("/auth/action/init"))
            .count()
            < 9
        {
            assert!(Instant::now() < deadline, "the calls have begun");
        }
        support::signal(&proxy.child, rustix::process::Signal::INT);
        for call in calls {
            assert_eq!(call.join().unwrap().status, 200);
        }
    });
    let address = proxy.address().to_owned();
    assert_eq!(proxy.stop().code, 0);
    assert!(TcpStream::connect(address).is_err());
    let log = scene.env.ok(&["log", "a"]);
    assert_eq!(log.matches("POST /wallets 200").count(), 8, "each has its line: {log}");
    assert!(log.contains("proxy-stopped"));
}

#[test]
fn failures_are_told_in_the_apis_own_form() {
    let scene = Scene::new();
    let proxy = scene.proxy(&["--timeout", "1s"]);
    let message = |answer: &Answer| answer.json()["error"]["message"].as_str().unwrap().to_owned();
    scene
        .sandbox
        .fault(&json!({"fault": "status", "status": 429, "retry_after": 3600, "path": "/auth/action/init"}));
    let answer = proxy.call("POST", "/wallets", WALLET);
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.head.contains("retry-after: 3600"), "{answer:?}");
    scene
        .sandbox
        .fault(&json!({"fault": "close_after", "path": "/wallets"}));
    let answer = proxy.call("POST", "/wallets", WALLET);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(message(&answer).contains("the call may have happened"), "{answer:?}");
    scene
        .sandbox
        .fault(&json!({"fault": "slow", "wait_ms": 3000, "path": "/wallets"}));
    assert_eq!(proxy.call("GET", "/wallets", "").status, 502);
    // A body that cannot be signed never leaves.
    let bearer = proxy.bearer();
    let headers = [("host", proxy.address()), ("authorization", bearer.as_str())];
    let answer = support::http(proxy.address(), "POST", "/wallets", &headers, b"\xff\xfe");
    assert!(answer.status == 400 && message(&answer).contains("UTF-8"), "{answer:?}");
    // The account is switched off: what Dfns says comes through.
    scene.sandbox.switch(&scene.real_token);
    let answer = proxy.call("POST", "/wallets", WALLET);
    assert!(
        answer.status == 401 && message(&answer).contains("deactivated"),
        "{answer:?}"
    );
    assert_eq!(proxy.call("GET", "/wallets", "").status, 401);
    let run = proxy.stop();
    assert!(run.code == 0 && !run.stderr.contains("panicked"), "{run:?}");
}

/// The second part of an answer is sent by the API only after the first has come through.
#[test]
fn answers_are_streamed() {
    let scene = Scene::new();
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", api.local_addr().unwrap());
    scene
        .env
        .ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    scene.env.ok(&["remove", "a", "--force", "--yes"]);
    scene
        .env
        .ok(&["import", "a", "--dotenv", "a.env", "--offline", "--api-url", &url]);
    let proxy = scene.proxy(&[]);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    let request = format!(
        "GET /wallets HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\naccept: text/csv\r\nx-mine: 1\r\ncookie: c=1\r\n\r\n",
        proxy.address(),
        proxy.bearer()
    );
    client.write_all(request.as_bytes()).unwrap();
    let (mut stream, _) = api.accept().unwrap();
    let mut head = vec![0; 8192];
    let length = stream.read(&mut head).unwrap();
    let head = String::from_utf8(head[..length].to_vec()).unwrap().to_ascii_lowercase();
    assert!(
        head.contains("accept: text/csv") && head.contains("x-mine: 1"),
        "{head}"
    );
    assert!(
        head.contains(&scene.real_token.to_ascii_lowercase()) && !head.contains("dfns-keys-proxy"),
        "{head}"
    );
    assert!(!head.contains("cookie") && head.contains(&format!("host: {}", url.trim_start_matches("http://"))));
    let mut read_until = |wanted: &str| {
        let (mut seen, mut part) = (String::new(), [0; 1024]);
        while !seen.contains(wanted) {
            let length = client.read(&mut part).unwrap();
            assert!(length > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        seen
    };
    stream
        .write_all(b"HTTP/1.1 203 Fine\r\ntransfer-encoding: chunked\r\nx-theirs: 2\r\n\r\n5\r\nfirst\r\n")
        .unwrap();
    let seen = read_until("first");
    assert!(
        seen.starts_with("HTTP/1.1 203") && seen.contains("x-theirs: 2"),
        "{seen}"
    );
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    read_until("second");
}

/// A rotation changes key and token, never the address. What comes to the vault with another one is not followed: whoever
/// can write there could seal a credential of their own, and would be sent what clients send.
#[test]
fn it_does_not_follow_a_credential_to_another_address() {
    let scene = Scene::new();
    let proxy = scene.proxy(&[]);
    scene
        .env
        .ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    scene.env.ok(&["remove", "a", "--force", "--yes"]);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", elsewhere.local_addr().unwrap());
    scene
        .env
        .ok(&["import", "a", "--dotenv", "a.env", "--offline", "--api-url", &url]);
    // Longer than the proxy goes without asking the vault.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(proxy.call("GET", "/wallets", "").status, 200);
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "nobody went there");
}

#[test]
fn it_starts_only_where_it_is_safe_and_of_use() {
    let scene = Scene::new();
    scene.env.ok(&["onboard", "pending", "--prepare"]);
    for (arguments, code, words) in [
        (&["proxy", "a", "--listen", "0.0.0.0:0"][..], 2, "not on loopback"),
        (&["proxy", "a", "--listen", "localhost:1"], 2, "unix:PATH"),
        (&["proxy", "a", "--allow", "/wallets"], 2, "a method and a path"),
        (&["proxy", "pending"], 3, "no token yet"),
        (&["proxy", "nobody"], 3, "nobody"),
    ] {
        scene.env.run(arguments).fails(code, &[words]);
    }
    let one = scene.proxy(&[]);
    let taken = one.address().to_owned();
    scene
        .env
        .run(&["proxy", "a", "--listen", &taken])
        .fails(1, &["cannot listen on"]);
    let other = scene.proxy(&[]);
    assert_ne!(one.token, other.token, "each run has its own");
    assert_eq!(
        other
            .call_with("GET", "/wallets", &[("authorization", &one.bearer())], "")
            .status,
        401
    );
    for proxy in [one, other] {
        let token = proxy.token.clone();
        let run = proxy.stop();
        assert!(!run.stderr.contains(&token) && !scene.env.ok(&["log"]).contains(&token));
    }
}
