//! Signed calls through the proxy, beside the vendor's SDK making them itself: 16 in flight, CPU time of the process that
//! signs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::proxy::Proxy;
use crate::support::{Sandbox, TestEnv, peer_ok};

const IN_FLIGHT: usize = 16;
const ROUNDS: usize = 15;
const CALLS: usize = 400;

/// The same by the vendor's SDK; it prints the CPU microseconds of each round.
const TYPESCRIPT: &str = r"
const { DfnsApiClient } = require('@dfns/sdk');
const { AsymmetricKeySigner } = require('@dfns/sdk-keysigner');
const { DFNS_API_URL, DFNS_AUTH_TOKEN, DFNS_CRED_ID, DFNS_PRIVATE_KEY } = process.env;
const signer = new AsymmetricKeySigner({ credId: DFNS_CRED_ID, privateKey: DFNS_PRIVATE_KEY });
const dfns = new DfnsApiClient({ baseUrl: DFNS_API_URL, authToken: DFNS_AUTH_TOKEN, signer });
const [rounds, calls, inFlight] = process.argv.slice(2).map(Number);
async function round() {
  let left = calls;
  const worker = async () => { while (left-- > 0) await dfns.wallets.createWallet({ body: { network: 'EthereumSepolia' } }); };
  await Promise.all(Array.from({ length: inFlight }, worker));
}
(async () => {
  await round();
  for (let i = 0; i < rounds; i++) {
    const before = process.cpuUsage();
    await round();
    const { user, system } = process.cpuUsage(before);
    console.log(user + system);
  }
})().catch((error) => { console.error(error); process.exit(1); });
";

pub(crate) fn signatures() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    env.write("calls.cjs", TYPESCRIPT);
    let modules = std::path::absolute(std::env::var("DFNS_KEYS_TEST_INTEROP").unwrap()).unwrap();
    let mut node = env.bare("node");
    node.env("NODE_PATH", modules.join("node_modules"));
    node.args(["--env-file=a.env", "calls.cjs"]);
    node.args([ROUNDS, CALLS, IN_FLIGHT].map(|number| number.to_string()));
    let printed = String::from_utf8(peer_ok(&mut node)).unwrap();
    let theirs: Vec<Duration> = printed
        .lines()
        .map(|line| Duration::from_micros(line.parse().unwrap()))
        .collect();

    let proxy = Proxy::start(&env, &["--rate-limit", "4000000"]);
    round(&proxy);
    let peak_at_first = peak_kib(&proxy);
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu(&proxy);
        round(&proxy);
        ours.push(cpu(&proxy).saturating_sub(before));
    }
    let (ours, theirs) = (crate::median(ours), crate::median(theirs));
    let a_second = |cpu: Duration| CALLS as f64 / cpu.as_secs_f64();
    println!(
        "{:<44} {:>9.0}      TypeScript SDK: {:>9.0}      ratio {:.1}   budget >= 20",
        "proxy, signed calls a CPU second",
        a_second(ours),
        a_second(theirs),
        a_second(ours) / a_second(theirs)
    );
    println!(
        "{:<44} {:>9} KiB after {CALLS} calls, {} KiB after {}",
        "proxy, peak memory",
        peak_at_first,
        peak_kib(&proxy),
        CALLS * (ROUNDS + 1)
    );
}

/// `CALLS` signed calls over `IN_FLIGHT` connections that stay open.
fn round(proxy: &Proxy) {
    std::thread::scope(|scope| {
        for _ in 0..IN_FLIGHT {
            scope.spawn(|| {
                let mut stream = BufReader::new(TcpStream::connect(proxy.address()).unwrap());
                for _ in 0..CALLS / IN_FLIGHT {
                    call(proxy, &mut stream);
                }
            });
        }
    });
}

fn call(proxy: &Proxy, stream: &mut BufReader<TcpStream>) {
    let body = r#"{"network":"EthereumSepolia"}"#;
    let request = format!(
        "POST /wallets HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        proxy.address(),
        proxy.bearer(),
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut line, mut length, mut first) = (String::new(), 0, true);
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if std::mem::take(&mut first) {
            assert!(line.contains(" 200 "), "{line}");
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
}

/// User and system time of the proxy so far (proc(5), fields 14 and 15 of `stat`, in hundredths of a second).
fn cpu(proxy: &Proxy) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.child.id())).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<u64> = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap())
        .collect();
    Duration::from_millis(10 * (fields[0] + fields[1]))
}

fn peak_kib(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
