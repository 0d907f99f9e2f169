//! The sandbox's page in a real browser, as a person uses it beside a terminal.
//!
//! `make interop` installs what drives the browser; without it these tests say that they were skipped.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};
use support::terminal::{ends, on_terminal};
use support::{Sandbox, TestEnv, peer, skipped};

const ONBOARD: &str = "Let a program use the API";
const ENROLL: &str = "Let a person use the API";
const IDENTITIES: &str = "Identities";
const PERMISSIONS: &str = "Permissions";
const CALLS: &str = "Last calls";
const REFUSED: &str = "Nothing was done";

/// Headless Chromium, which does one thing after the other.
struct Browser {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Browser {
    /// On the sandbox's page.
    fn on(env: &TestEnv, sandbox: &Sandbox) -> Option<Self> {
        let Some(tools) = std::env::var_os("DFNS_KEYS_TEST_INTEROP") else {
            skipped("`make interop` runs this");
            return None;
        };
        if !peer("chromium") {
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = env.bare("node");
        let mut child = command
            .arg(root.join("tests/interop/browser.cjs"))
            .env("NODE_PATH", std::path::absolute(tools).unwrap().join("node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut browser = Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        browser.open(&format!("{}/", sandbox.url));
        Some(browser)
    }

    #[track_caller]
    fn tell(&mut self, doing: &Value) -> Value {
        writeln!(self.stdin, "{doing}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {doing}: {line}"));
        assert!(answer["error"].is_null(), "{doing}: {answer}");
        answer["value"].clone()
    }

    #[track_caller]
    fn told(&mut self, doing: &Value) -> String {
        self.tell(doing).as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn open(&mut self, url: &str) {
        self.tell(&json!({"doing": "open", "url": url}));
    }

    #[track_caller]
    fn fill(&mut self, part: &str, label: &str, value: &str) {
        self.tell(&json!({"doing": "fill", "part": part, "label": label, "value": value}));
    }

    #[track_caller]
    fn choose(&mut self, part: &str, label: &str, value: &str) {
        self.tell(&json!({"doing": "choose", "part": part, "label": label, "value": value}));
    }

    #[track_caller]
    fn press(&mut self, part: &str, button: &str) {
        self.tell(&json!({"doing": "press", "part": part, "button": button}));
    }

    /// What a field holds.
    #[track_caller]
    fn value(&mut self, part: &str, label: &str) -> String {
        self.told(&json!({"doing": "value", "part": part, "label": label}))
    }

    /// What can be read in a part of the page.
    #[track_caller]
    fn text(&mut self, part: &str) -> String {
        self.told(&json!({"doing": "text", "part": part}))
    }

    /// What one click selects, ready to be copied.
    #[track_caller]
    fn clicked(&mut self, selector: &str) -> String {
        let text = self.told(&json!({"doing": "select", "selector": selector}));
        text.trim().to_owned()
    }

    /// What the browser had to complain of since it was last asked: refused answers, violated policies, lost requests.
    #[track_caller]
    fn complaints(&mut self) -> Vec<Value> {
        self.tell(&json!({"doing": "complaints"})).as_array().unwrap().clone()
    }

    /// The line of a table that begins so.
    #[track_caller]
    fn line(&mut self, part: &str, beginning: &str) -> String {
        let text = self.text(part);
        let line = text.lines().find(|line| line.starts_with(beginning));
        line.unwrap_or_else(|| panic!("no line of {beginning}: {text}"))
            .to_owned()
    }

    /// Makes an account, and copies the token.
    #[track_caller]
    fn create(&mut self, name: &str, public_key: &str) -> String {
        self.fill(ONBOARD, "Name", name);
        self.fill(ONBOARD, "Public key", public_key);
        self.press(ONBOARD, "Create");
        self.clicked("#token")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It closes the browser when its input ends; what is left of it goes with it.
        let _ = writeln!(self.stdin, "{}", json!({"doing": "close"}));
        let _ = self.child.wait();
    }
}

/// What a person copies from a terminal: between two lines, without what the terminal added.
fn copied(shown: &str, begin: &str) -> String {
    let (_, text) = shown.split_once(begin).unwrap_or(("", shown));
    format!("{begin}{}", text.replace('\r', ""))
}

#[test]
fn a_person_onboards_by_the_page_and_the_terminal() {
    let env = TestEnv::new();
    let sandbox = Sandbox::start();
    let Some(mut browser) = Browser::on(&env, &sandbox) else {
        return;
    };
    env.write("passphrase", "correct horse battery staple");
    env.ok(&["init", "--passphrase-file", "passphrase"]);

    // The command stands on the page as it is typed.
    let text = browser.text(ONBOARD);
    let line = text.lines().find(|line| line.starts_with("dfns-keys onboard")).unwrap();
    let mut arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
    arguments.extend(["--passphrase-file", "passphrase"]);
    let mut onboard = on_terminal(&env.asking(&arguments));
    onboard.exp_string("-----BEGIN PUBLIC KEY-----").unwrap();
    let inside = onboard.exp_string("-----END PUBLIC KEY-----").unwrap();
    let public = copied(
        &format!("{inside}-----END PUBLIC KEY-----"),
        "-----BEGIN PUBLIC KEY-----",
    );
    let place = onboard.exp_string("copy the token").unwrap();
    assert!(place.contains(&format!("{}/", sandbox.url)), "{place}");

    let token = browser.create("payments-api", &public);
    assert_eq!(token.split('.').count(), 3);
    let once = browser.text("The token of payments-api");
    assert!(
        once.contains("dfns-keys onboard payments-api --token-file FILE"),
        "{once}"
    );

    onboard.exp_string("Token (hidden").unwrap();
    onboard.exp_string("): ").unwrap();
    onboard.send_line(&token).unwrap();
    let shown = ends(onboard, 0);
    assert!(shown.contains("payments-api is active."), "{shown}");

    // The token was there once; the account and the calls of the test are there from now on.
    browser.open(&format!("{}/", sandbox.url));
    let page = browser.text("");
    assert!(!page.contains(&token[..20]), "{page}");
    let row = browser.line(IDENTITIES, "payments-api");
    assert!(
        row.contains("service account") && row.contains("none") && row.contains("active"),
        "{row}"
    );
    let calls = browser.text(CALLS);
    assert!(calls.contains("POST /auth/action/init\t200"), "{calls}");
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn the_page_switches_an_account_off_and_on_and_loading_it_again_does_not() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    // Under the other name of the same address, which browsers take for another site.
    let Some(mut browser) = Browser::on(&env, &sandbox) else {
        return;
    };
    browser.open(&format!("{}/", sandbox.url.replace("127.0.0.1", "localhost")));
    let public = env.ok(&["onboard", "a", "--prepare", "--api-url", &sandbox.url]);
    let token = browser.create("a", &public);
    env.write("token", token);
    env.ok(&["onboard", "a", "--token-file", "token"]);
    browser.press(IDENTITIES, "Deactivate a");
    assert!(browser.line(IDENTITIES, "a\t").contains("inactive"));
    env.run(&["verify", "a"]).fails(5, &[]);
    browser.tell(&json!({"doing": "reload"}));
    assert!(browser.line(IDENTITIES, "a\t").contains("inactive"));
    browser.press(IDENTITIES, "Activate a");
    env.ok(&["verify", "a"]);
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn a_permission_is_made_and_given_by_the_page() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let Some(mut browser) = Browser::on(&env, &sandbox) else {
        return;
    };
    let reading = "Wallets:Read, Auth:ServiceAccounts:Read, Permissions:Read";
    browser.fill(PERMISSIONS, "Permission name", "Readers");
    browser.fill(PERMISSIONS, "Its operations", reading);
    browser.press(PERMISSIONS, "Make the permission");
    let row = browser.line(PERMISSIONS, "Readers");
    assert!(row.contains(reading) && row.contains("pm-"), "{row}");

    let public = env.ok(&["onboard", "a", "--prepare", "--api-url", &sandbox.url]);
    let token = browser.create("a", &public);
    env.write("token", token);
    env.ok(&["onboard", "a", "--token-file", "token"]);
    browser.choose(PERMISSIONS, "Identity", "a");
    browser.choose(PERMISSIONS, "Permission", "Readers");
    browser.press(PERMISSIONS, "Give it");
    assert!(browser.line(IDENTITIES, "a\t").contains("Readers"));
    let expects = |operation: &str| env.run(&["verify", "a", "--expect-permission", operation]);
    assert_eq!(expects("Wallets:Read").code, 0);
    expects("Wallets:Create").fails(5, &[]);

    // An account can have its operations from the start.
    browser.fill(ONBOARD, "Operations", "Wallets:Create");
    browser.create("b", &public);
    assert!(browser.text(PERMISSIONS).contains("Wallets:Create"));
    assert!(!browser.line(IDENTITIES, "b\t").contains("none"));
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn a_person_is_enrolled_with_a_code_of_the_page_and_makes_accounts() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let Some(mut browser) = Browser::on(&env, &sandbox) else {
        return;
    };
    let text = browser.text(ENROLL);
    let line = text.lines().find(|line| line.starts_with("dfns-keys enroll")).unwrap();
    let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
    let mut enroll = on_terminal(&env.asking(&arguments));
    enroll.exp_string("ode").unwrap();
    enroll.exp_string(": ").unwrap();
    browser.fill(ENROLL, "User name", "ops@example.com");
    browser.press(ENROLL, "Make a code");
    let code = browser.clicked("#code");
    enroll.send_line(&code).unwrap();
    ends(enroll, 0);
    env.ok(&["onboard", "reports", "--as", "ops-admin"]);
    browser.open(&format!("{}/", sandbox.url));
    let user = browser.line(IDENTITIES, "ops@example.com");
    assert!(user.contains("user") && user.contains("everything"), "{user}");
    assert!(browser.line(IDENTITIES, "reports").contains("service account"));
    assert!(!browser.text("").contains(&code));
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn a_refused_form_says_why_and_keeps_what_was_typed_but_no_private_key() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let Some(mut browser) = Browser::on(&env, &sandbox) else {
        return;
    };
    browser.choose(ONBOARD, "Kind", "Personal access token");
    browser.fill(ONBOARD, "Name", "<b>a</b>");
    browser.fill(ONBOARD, "Public key", "hello");
    browser.fill(ONBOARD, "Days valid", "30");
    browser.press(ONBOARD, "Create");
    assert!(browser.text(REFUSED).contains("does not match the pattern"));
    assert_eq!(browser.value(ONBOARD, "Name"), "<b>a</b>");
    assert_eq!(browser.value(ONBOARD, "Public key"), "hello");
    assert_eq!(browser.value(ONBOARD, "Kind"), "pat");
    assert_eq!(browser.value(ONBOARD, "Days valid"), "30");

    let public = env.ok(&["generate", "--plaintext", "--private-key", "k.pem"]);
    let private = std::fs::read_to_string(env.path("k.pem")).unwrap();
    browser.fill(ONBOARD, "Public key", &private);
    browser.press(ONBOARD, "Create");
    assert!(browser.text(REFUSED).contains("this is a private key"));
    assert_eq!(browser.value(ONBOARD, "Public key"), "");
    assert_eq!(browser.value(ONBOARD, "Name"), "<b>a</b>");

    browser.fill(ONBOARD, "Public key", &public);
    browser.press(ONBOARD, "Create");
    let row = browser.line(IDENTITIES, "<b>a</b>");
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(30 * 24);
    assert!(
        row.contains("personal access token") && row.contains(&end.strftime("%Y-%m-%d").to_string()),
        "{row}"
    );
    browser.fill(ENROLL, "User name", " ");
    browser.press(ENROLL, "Make a code");
    assert!(browser.text(REFUSED).contains("must not be empty"));
    // The refusals themselves are what it complains of.
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|one| one.as_str().unwrap().contains("400")),
        "{complaints:?}"
    );
}

#[test]
fn no_script_runs_and_no_other_page_can_send_the_forms() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let Some(mut browser) = Browser::on(&env, &sandbox) else {
        return;
    };
    let public = env.ok(&["generate", "--plaintext", "--private-key", "k.pem"]);
    browser.create(
        "<img src=x onerror=document.title='ran'><script>document.title='ran'</script>",
        &public,
    );
    assert!(browser.text(IDENTITIES).contains("<script>"));
    assert_eq!(
        browser.told(&json!({"doing": "evaluate", "script": "document.title"})),
        "dfns-keys sandbox"
    );
    assert_eq!(browser.complaints(), [] as [Value; 0]);
    // Another site's page, and one that hides where it comes from.
    for hiding in ["", "<meta name=referrer content=no-referrer>"] {
        let page = format!(
            "{hiding}<section><h2>Trap</h2><form method=post action={}/dashboard/create><input name=name value=stolen>\
             <textarea name=public_key>{public}</textarea><button>Win</button></form></section>",
            sandbox.url
        );
        let other = Sandbox::start();
        browser.open(&format!("{}/dashboard/style.css", other.url));
        browser.tell(
            &json!({"doing": "evaluate", "script": format!("document.documentElement.innerHTML = {}", json!(page))}),
        );
        browser.press("Trap", "Win");
        assert!(browser.text("").contains("requests from other web pages are refused"));
    }
    assert_eq!(sandbox.accounts().len(), 1);
}
