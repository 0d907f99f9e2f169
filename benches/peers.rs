//! Ratios against what people use today, each peer measured in the same run. Nothing here fails a build.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    unused_crate_dependencies,
    missing_docs,
    reason = "a benchmark sets up files and prints figures"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use support::{PROGRAM, Sandbox, TestEnv, peer};

/// Rounds of each measurement; medians are printed.
const ROUNDS: usize = 31;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--measure") {
        return measure_child(&arguments[position + 1..]);
    }
    println!("medians of {ROUNDS} rounds; a ratio below 1 means that dfns-keys needs less\n");
    if peer("openssl") {
        generate();
    }
    if peer("openssl") && peer("curl") && peer("jq") && peer("bash") {
        signed_test_call();
    }
    listing();
    if peer("openssl") && peer("curl") && peer("jq") && peer("age") && peer("bash") {
        onboarding();
    }
}

/// What one run of a program took.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
    peak_kib: u64,
}

/// Runs a program in a process of its own, whose only child it is, and prints what that child took.
fn measure_child(command: &[String]) {
    let began = Instant::now();
    let status = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let wall = began.elapsed();
    assert!(status.success(), "{command:?}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    println!(
        "{} {} {}",
        micros(usage.user_time()) + micros(usage.system_time()),
        wall.as_micros(),
        usage.max_rss()
    );
}

fn cost(env: &TestEnv, command: &[&str]) -> Cost {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--measure")
        .args(command)
        .current_dir(env.home.path())
        .env("DFNS_KEYS_VAULT", env.vault())
        .env("DFNS_KEYS_IDENTITY", env.path("identity.txt"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<u64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
    let [cpu, wall, peak_kib] = figures[..] else {
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))
    };
    Cost {
        cpu: Duration::from_micros(cpu),
        wall: Duration::from_micros(wall),
        peak_kib,
    }
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

fn medians(costs: &[Cost]) -> Cost {
    Cost {
        cpu: median(costs.iter().map(|cost| cost.cpu).collect()),
        wall: median(costs.iter().map(|cost| cost.wall).collect()),
        peak_kib: median(costs.iter().map(|cost| cost.peak_kib).collect()),
    }
}

fn row(what: &str, ours: Duration, theirs: Duration, peer: &str, budget: &str) {
    println!(
        "{what:<44} {:>9.2} ms   {peer}: {:>9.2} ms   ratio {:.3}   budget {budget}",
        ours.as_secs_f64() * 1e3,
        theirs.as_secs_f64() * 1e3,
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

fn generate() {
    let env = TestEnv::new();
    let ours = [
        PROGRAM,
        "generate",
        "--plaintext",
        "--force",
        "--private-key",
        "ours.pem",
        "--public-key",
        "ours.pub",
    ];
    let first = [
        "openssl",
        "ecparam",
        "-genkey",
        "-name",
        "prime256v1",
        "-noout",
        "-out",
        "a.pem",
    ];
    let second = ["openssl", "ec", "-in", "a.pem", "-pubout", "-out", "a.pub"];
    let (mut our_costs, mut their_costs, mut their_peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_costs.push(cost(&env, &ours));
        let (one, two) = (cost(&env, &first), cost(&env, &second));
        their_peaks.push(one.peak_kib.max(two.peak_kib));
        their_costs.push(Cost {
            cpu: one.cpu + two.cpu,
            wall: one.wall + two.wall,
            peak_kib: one.peak_kib,
        });
    }
    let (ours, theirs) = (medians(&our_costs), medians(&their_costs));
    row(
        "generate --plaintext, CPU",
        ours.cpu,
        theirs.cpu,
        "two openssl commands",
        "<= 0.12",
    );
    let peak = median(their_peaks);
    println!(
        "{:<44} {:>9} KiB  one openssl command: {peak:>6} KiB  ratio {:.3}   budget <= 0.5",
        "generate --plaintext, peak memory",
        ours.peak_kib,
        ours.peak_kib as f64 / peak as f64
    );
}

/// The signed test call as the vendor's pages have one write it: curl, jq and openssl.
const SHELL: &str = r#"
set -euo pipefail
b64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
init=$(curl -sf "$URL/auth/action/init" -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \
  -d '{"userActionPayload":"{}","userActionHttpMethod":"PUT","userActionHttpPath":"/auth/pats/x","userActionServerKind":"Api"}')
challenge=$(jq -r .challenge <<<"$init")
data=$(jq -cn --arg c "$challenge" '{challenge:$c,crossOrigin:false,origin:"https://app.dfns.io",type:"key.get"}')
signature=$(printf %s "$data" | openssl dgst -sha256 -sign key.pem | b64)
jq -n --argjson i "$init" --arg d "$(printf %s "$data" | b64)" --arg s "$signature" \
  '{challengeIdentifier:$i.challengeIdentifier,firstFactor:{kind:"Key",credentialAssertion:{credId:$i.allowCredentials.key[0].id,clientData:$d,signature:$s}}}' |
  curl -sf "$URL/auth/action" -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d @- | jq -e .userAction
"#;

fn signed_test_call() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let public = env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
    let token = sandbox.create("by-hand", &public);
    let script = format!("URL={}\nTOKEN={token}\n{SHELL}", sandbox.url);
    env.write("call.sh", script);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(cost(&env, &[PROGRAM, "verify", "a"]));
        theirs.push(cost(&env, &["bash", "call.sh"]));
    }
    let (ours, theirs) = (medians(&ours), medians(&theirs));
    row(
        "verify NAME (signed test call), wall",
        ours.wall,
        theirs.wall,
        "bash + curl + openssl",
        "(see below)",
    );
    row(
        "verify NAME (signed test call), CPU",
        ours.cpu,
        theirs.cpu,
        "bash + curl + openssl",
        "-",
    );
    println!("  the budget of 0.03 is against the vendor's TypeScript SDK, which `make interop` is to bring");
}

/// 10,000 credentials: public metadata only, beside `cat` reading the same files.
fn listing() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    let one = std::fs::read_to_string(env.credential_file("a")).unwrap();
    for number in 0..10_000 {
        let name = format!("n{number:05}");
        std::fs::write(
            env.credential_file(&name),
            one.replace("\"name\": \"a\"", &format!("\"name\": \"{name}\"")),
        )
        .unwrap();
    }
    let rounds = 15;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let pattern = Path::new("vault").join("credentials").display().to_string();
    let cat = format!("find {pattern} -name '*.json' -print0 | xargs -0 cat");
    for _ in 0..rounds {
        ours.push(cost(&env, &[PROGRAM, "list", "--json"]));
        theirs.push(cost(&env, &["bash", "-c", &cat]));
    }
    row(
        "list of 10,000, wall",
        medians(&ours).wall,
        medians(&theirs).wall,
        "find | xargs cat",
        "<= 2",
    );
}

/// One account made by hand, at the same durability: key and token encrypted with age and synced before they are used,
/// and the pair proven.
const ONE_ACCOUNT: &str = r#"
set -euo pipefail
b64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
api() { curl -sf "$URL$1" -H "authorization: Bearer $2" -H 'content-type: application/json' "${@:3}"; }
sign() { # token, key, method, path, payload -> user action
  local init data signature
  init=$(api /auth/action/init "$1" -d "$(jq -cn --arg p "$5" --arg m "$3" --arg u "$4" '{userActionPayload:$p,userActionHttpMethod:$m,userActionHttpPath:$u}')")
  data=$(jq -c '{challenge:.challenge,crossOrigin:false,origin:"https://app.dfns.io",type:"key.get"}' <<<"$init")
  signature=$(printf %s "$data" | openssl dgst -sha256 -sign "$2" | b64)
  jq -n --argjson i "$init" --arg d "$(printf %s "$data" | b64)" --arg s "$signature" \
    '{challengeIdentifier:$i.challengeIdentifier,firstFactor:{kind:"Key",credentialAssertion:{credId:$i.allowCredentials.key[0].id,clientData:$d,signature:$s}}}' |
    api /auth/action "$1" -d @- | jq -r .userAction
}
name=hand-$1-$RANDOM$RANDOM
openssl ecparam -genkey -name prime256v1 -noout -out $name.pem
public=$(openssl ec -in $name.pem -pubout 2>/dev/null)
age -r "$RECIPIENT" -o $name.key.age $name.pem && sync $name.key.age .
body=$(jq -cn --arg n $name --arg k "$public" '{name:$n,publicKey:$k}')
action=$(sign "$TOKEN" ops.pem POST /auth/service-accounts "$body")
made=$(api /auth/service-accounts "$TOKEN" -H "x-dfns-useraction: $action" -d "$body")
token=$(jq -r '.accessTokens[0].accessToken' <<<"$made")
printf %s "$token" | age -r "$RECIPIENT" -o $name.token.age && sync $name.token.age .
sign "$token" $name.pem PUT /auth/pats/x '{}' >/dev/null
"#;

/// Accounts through the API: a job of one hundred, beside a shell loop's share of one.
fn onboarding() {
    const NAMES: usize = 100;
    const ROUNDS: usize = 15;
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let form = |path: &str, body: &str| {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        ];
        sandbox.http("POST", path, &headers, body.as_bytes()).json()
    };
    let code = form("/dashboard/code", "username=ops")["code"]
        .as_str()
        .unwrap()
        .to_owned();
    env.ok(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url]);
    let opened = env.open("ops");
    env.write("ops.pem", opened["user"]["private_key"].as_str().unwrap());
    let recipient = env.ok(&["recipients", "list"]);
    let session = session_token(&env, &sandbox, opened["public"]["org_id"].as_str().unwrap());
    env.write(
        "one.sh",
        format!(
            "URL={}\nTOKEN={session}\nRECIPIENT={}\n{ONE_ACCOUNT}",
            sandbox.url,
            recipient.trim()
        ),
    );
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let rows: Vec<String> = (0..NAMES).map(|number| format!("r{round}n{number}")).collect();
        env.write("accounts.csv", format!("name\n{}\n", rows.join("\n")));
        let command = [
            PROGRAM,
            "onboard",
            "--from",
            "accounts.csv",
            "--as",
            "ops",
            "--rate-limit",
            "4000000",
        ];
        ours.push(cost(&env, &command).wall / u32::try_from(NAMES).unwrap());
        theirs.push(cost(&env, &["bash", "one.sh", &round.to_string()]).wall);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    row(
        "onboard --as, one of 100 names, wall",
        ours,
        theirs,
        "openssl + age + curl",
        "<= 0.05 (20x)",
    );
}

/// Logs in with the vendor's own steps, signed by openssl.
fn session_token(env: &TestEnv, sandbox: &Sandbox, organisation: &str) -> String {
    let script = format!(
        r#"set -euo pipefail
b64() {{ base64 -w0 | tr '+/' '-_' | tr -d '='; }}
init=$(curl -sf {url}/auth/login/init -H 'content-type: application/json' -d '{{"username":"ops","orgId":"{organisation}"}}')
data=$(jq -c '{{challenge:.challenge,crossOrigin:false,origin:"https://app.dfns.io",type:"key.get"}}' <<<"$init")
signature=$(printf %s "$data" | openssl dgst -sha256 -sign ops.pem | b64)
jq -n --argjson i "$init" --arg d "$(printf %s "$data" | b64)" --arg s "$signature" '{{challengeIdentifier:$i.challengeIdentifier,firstFactor:{{kind:"Key",credentialAssertion:{{credId:$i.allowCredentials.key[0].id,clientData:$d,signature:$s}}}}}}' |
  curl -sf {url}/auth/login -H 'content-type: application/json' -d @- | jq -r .token"#,
        url = sandbox.url
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(env.home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
