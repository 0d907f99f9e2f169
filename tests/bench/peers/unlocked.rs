//! A program under `exec`, with a vault that was unlocked, beside one that an identity file opens.

use keyutils::Keyring;

use crate::support::{PROGRAM, Sandbox, TestEnv, skipped};
use crate::{ROUNDS, cost, medians, row};

const PASSPHRASE: &str = "correct horse battery staple";

pub(crate) fn exec() {
    // A login session of its own.
    if Keyring::join_anonymous_session().is_err() {
        return skipped("there are no session keyrings here");
    }
    let env = TestEnv::with_passphrase(PASSPHRASE);
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    env.ok(&["recipients", "add", &recipient, "--passphrase-file", "passphrase"]);
    let sandbox = Sandbox::start();
    env.write("token", env.prepare(&sandbox, "a"));
    let by = ["--passphrase-file", "passphrase"];
    env.ok(&[&["onboard", "a", "--token-file", "token"][..], &by].concat());
    env.ok(&[&["unlock"][..], &by].concat());
    let text = secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    env.write("identity.txt", text);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let program = ["exec", "a", "--", "true"];
        // Each behind `env`, so that each pays for it.
        ours.push(cost(
            &env,
            &[&["env", "-u", "DFNS_KEYS_IDENTITY", PROGRAM], &program[..]].concat(),
        ));
        theirs.push(cost(
            &env,
            &[&["env", "-u", "DFNS_KEYS", PROGRAM], &program[..]].concat(),
        ));
    }
    row(
        "unlock, then exec, wall",
        medians(&ours).wall,
        medians(&theirs).wall,
        "identity file, exec",
        "15 ms more",
    );
}
