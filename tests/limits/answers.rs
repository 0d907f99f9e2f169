//! Answers of a server that is not Dfns, or not well.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64ct::{Base64UrlUnpadded, Encoding};

use super::{bounded, numbered};
use crate::support::TestEnv;

/// A server that gives every request the same answer, for as long as the process lives.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(head: &str, body: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {head}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = 0;
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let _ = reader.take(length).read_to_end(&mut Vec::new());
                count.fetch_add(1, Ordering::SeqCst);
                // A client that gives up early is what is tested.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        Self { url, asked }
    }
}

/// A token as long as one may be, of which any piece must be found in what a server says.
fn long_token() -> String {
    let claims = format!("{{\"a\":\"{}\"}}", "abcdefghij".repeat(600));
    format!("e30.{}.e30", Base64UrlUnpadded::encode_string(claims.as_bytes()))
}

fn with_token(env: &TestEnv, url: &str, token: &str) {
    env.write("token", token);
    env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "k.pem",
        "--force",
        "--public-key",
        "k.pub",
    ]);
    let arguments = [
        "import",
        "a",
        "--private-key",
        "k.pem",
        "--token-file",
        "token",
        "--offline",
        "--credential-id",
        "cr-1",
        "--api-url",
        url,
    ];
    env.ok(&arguments);
}

#[test]
fn an_error_of_any_size_is_read_and_cut_soon() {
    let token = long_token();
    let four = 4_000_000;
    let cases = [
        ("one word", format!("{{\"message\":\"{}\"}}", "a".repeat(four))),
        (
            "words of the token",
            format!(
                "{{\"message\":\"{}\"}}",
                format!("{} ", &token[100..130]).repeat(four / 31)
            ),
        ),
        (
            "the token all over",
            format!("{{\"message\":\"{}\"}}", token.repeat(four / token.len())),
        ),
        ("numbers", format!("[{}0]", "0,".repeat(four / 2))),
        (
            "keys",
            format!("{{{}\"a\":0}}", numbered(400_000, |n| format!("\"{n}\":0,"))),
        ),
        ("arrays in arrays", "[".repeat(four)),
        (
            "controls",
            format!("{{\"message\":\"{}\"}}", "\\u001b".repeat(four / 6)),
        ),
        ("white space", " ".repeat(four)),
    ];
    for (what, body) in cases {
        for status in ["400 Bad Request", "401 Unauthorized"] {
            let server = Server::start(status, body.clone());
            let env = TestEnv::with_vault();
            with_token(&env, &server.url, &token);
            for arguments in [
                &["verify", "a", "--rate-limit", "9000"][..],
                &["call", "a", "POST", "/wallets", "--data", "{}"],
            ] {
                let run = bounded(&env, arguments);
                let said = run.stdout.len() + run.stderr.len();
                assert!(run.code != 0 && said < 20_000, "{what}: {} {said}", run.code);
                let shows = |text: &str| {
                    text.as_bytes()
                        .windows(24)
                        .any(|part| token[60..].contains(std::str::from_utf8(part).unwrap_or("\0")))
                };
                assert!(!shows(&run.stdout) && !shows(&run.stderr), "{what} shows the token");
            }
            assert!(server.asked.load(Ordering::SeqCst) > 1, "the server was asked");
        }
    }
}

#[test]
fn a_success_of_any_shape_is_read_or_refused_soon() {
    let four = 4_000_000;
    let numbers = format!("{}0", "0,".repeat(four / 2 - 50));
    let ids = format!("{}{{\"id\":\"\"}}", "{\"id\":\"\"},".repeat(four / 11 - 20));
    let cases = [
        ("numbers", format!("{{\"items\":[{numbers}]}}")),
        (
            "an unknown field",
            format!("{{\"challenge\":\"a\",\"challengeIdentifier\":\"b\",\"x\":[{numbers}]}}"),
        ),
        (
            "many credentials",
            format!("{{\"challenge\":\"a\",\"challengeIdentifier\":\"b\",\"allowCredentials\":{{\"key\":[{ids}]}}}}"),
        ),
        (
            "a long challenge",
            format!(
                "{{\"challenge\":\"{}\",\"challengeIdentifier\":\"b\"}}",
                "a".repeat(four - 100)
            ),
        ),
    ];
    for (what, body) in cases {
        let server = Server::start("200 OK", body);
        let env = TestEnv::with_vault();
        with_token(&env, &server.url, "e30.e30.e30");
        for arguments in [
            &["verify", "a", "--rate-limit", "9000"][..],
            &["call", "a", "POST", "/wallets", "--data", "{}"],
        ] {
            let run = bounded(&env, arguments);
            let said = run.stdout.len() + run.stderr.len();
            assert!(run.code != 0 && said < 20_000, "{what}: {} {said}", run.code);
        }
    }
}

/// Each page names another one after it.
#[test]
fn a_list_without_end_is_an_error_and_not_taken_for_the_whole() {
    let env = TestEnv::with_vault();
    env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "k.pem",
        "--public-key",
        "k.pub",
    ]);
    let account = format!(
        "{{\"userInfo\":{{}},\"tokenId\":\"t\",\"name\":\"{}\"}},",
        "a".repeat(1_000)
    );
    for (name, items) in [("empty", String::new()), ("full", account.repeat(3_000))] {
        let body = format!(
            "{{\"challenge\":\"a\",\"challengeIdentifier\":\"b\",\"allowCredentials\":{{\"key\":[{{\"id\":\"cr-1\"}}]}},\"token\":\"e30.e30.e30\",\"items\":[{}],\"nextPageToken\":\"more\"}}",
            items.trim_end_matches(',')
        );
        let server = Server::start("200 OK", body);
        let arguments = [
            "import",
            name,
            // The second name has the key of the first.
            "--force",
            "--kind",
            "user",
            "--username",
            "u",
            "--org-id",
            "or-1",
            "--private-key",
            "k.pem",
            "--credential-id",
            "cr-1",
            "--api-url",
            &server.url,
        ];
        env.ok(&arguments);
        let run = bounded(&env, &["account", "list", "--as", name, "--rate-limit", "1000000"]);
        run.fails(6, &["a list without end"]);
    }
}

#[test]
fn an_answer_larger_than_any_of_dfns_is_not_read_to_its_end() {
    let server = Server::start(
        "200 OK",
        format!("{{\"items\":[],\"more\":\"{}\"}}", "a".repeat(5_000_000)),
    );
    let env = TestEnv::with_vault();
    with_token(&env, &server.url, &long_token());
    let run = bounded(&env, &["verify", "a", "--rate-limit", "9000"]);
    assert!(run.code != 0 && run.stdout.contains("more than 4 MiB"), "{run:?}");
}
