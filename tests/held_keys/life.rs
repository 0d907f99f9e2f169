//! The life of a credential whose key is in a token.

use std::time::{Duration, Instant};

use crate::support::held::{Held, WALLET};
use crate::support::{Run, Sandbox};
use crate::token::{PIN, Token};

fn held<'a>(token: &'a Token, sandbox: &'a Sandbox, uri: String) -> Held<'a> {
    Held {
        env: &token.env,
        sandbox,
        variables: token.variables(),
        uri,
    }
}

#[test]
fn a_key_in_a_token_signs_whatever_is_signed_and_is_never_handed_over() {
    let Some(token) = Token::new() else { return };
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    let held = held(&token, &sandbox, token.uri("payments"));
    held.onboard();
    held.signs();
    held.stays();
    held.rotates();
}

#[test]
fn an_administrator_and_the_accounts_that_it_makes_have_their_keys_in_a_token() {
    let Some(token) = Token::new() else { return };
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    let held = held(&token, &sandbox, token.uri("payments"));
    let code = sandbox.code("ops@example.com");
    let enroll = ["enroll", "ops", "--code", &code, "--api-url", &sandbox.url, "--key"];
    held.ok(&[&enroll[..], &[&token.uri("ops")]].concat());
    held.ok(&["onboard", "a", "--as", "ops", "--key", &held.uri]);
    assert_eq!(held.place(), held.uri);
    held.run(&["onboard", "b", "c", "--as", "ops", "--key", &held.uri])
        .fails(2, &["an address is of one key"]);
    held.signs();
    // A new account takes its key beside the old one.
    held.ok(&["rotate", "a", "--renew", "--as", "ops", "--grace", "0", "--yes"]);
    assert!(held.place().contains("payments-g2"), "{}", held.place());
    held.signs();
}

/// Stopped at each of its instants, a rotation goes on with the next run, and one key works in the end.
#[test]
fn a_rotation_whose_keys_are_held_ends_well_wherever_it_was_killed() {
    let Some(token) = Token::new() else { return };
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    let held = held(&token, &sandbox, token.uri("payments"));
    held.onboard();
    let mut instants = 0;
    for stop_at in 1.. {
        assert!(stop_at < 200, "it ends at some time");
        let before = held.place();
        let mut command = held.command(&["rotate", "a", "--grace", "0", "--yes"]);
        let stopped = Run::of(command.env("DFNS_KEYS_TEST_STOP_AT", stop_at.to_string()));
        if stopped.code == 0 {
            instants = stop_at - 1;
            break;
        }
        let run = held.run(&["rotate", "a", "--grace", "0", "--yes"]);
        assert_eq!(run.code, 0, "stopped at {stop_at}: {run:?}");
        assert_ne!(held.place(), before, "stopped at {stop_at}");
        held.ok(&["verify", "a"]);
        let accounts = sandbox.accounts();
        let working = accounts.iter().filter(|account| account["active"] == true);
        let keys: usize = working.map(|account| account["keys"].as_array().unwrap().len()).sum();
        assert_eq!(keys, 1, "stopped at {stop_at}");
    }
    assert!(instants > 20, "{instants}");
}

#[test]
fn a_sealed_key_moves_into_a_token() {
    let Some(token) = Token::new() else { return };
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    token.env.onboard(&sandbox, "a");
    let held = held(&token, &sandbox, token.uri("payments"));
    let file = format!("file:{}", token.env.path("moved.env").display());
    held.ok(&["deliver", "a", "--to", &file]);
    held.run(&["rotate", "a", "--key", &held.uri])
        .fails(3, &["a is delivered to places", "--forget"]);
    held.ok(&["deliver", "a", "--forget", &file]);
    held.ok(&["rotate", "a", "--key", &held.uri]);
    assert_eq!(held.place(), held.uri);
    held.ok(&["rotate", "a", "--finish"]);
    held.signs();
    held.stays();
    held.run(&["rotate", "a", "--key", &held.uri])
        .fails(3, &["is there already"]);
    held.ok(&["rotate", "a"]);
    assert!(held.place().contains("payments-g3"), "{}", held.place());
}

/// A module that goes wrong while a proxy serves: one call fails, those that need no signature go on, and so does the next.
#[test]
fn a_proxy_goes_on_when_its_module_crashes_or_hangs() {
    let Some(token) = Token::new() else { return };
    let Some(faulty) = token.faulty() else { return };
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    let held = held(&token, &sandbox, token.uri_of(&faulty, "payments"));
    held.onboard();
    let proxy = held.proxy();
    for (fault, words) in [
        ("sign-crash", "crashed"),
        ("sign-hang", "did not answer within 2 s"),
        ("sign-session-closed", "ended the session: SessionClosed"),
        ("sign-rubbish", "something that is no signature"),
    ] {
        token.fault(fault);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let signed = scope.spawn(|| proxy.call("POST", "/wallets", WALLET));
            let began = Instant::now();
            let read = proxy.call("GET", "/wallets", "");
            assert!(began.elapsed() < Duration::from_secs(60), "it is answered at all");
            vec![read, signed.join().unwrap()]
        });
        assert_eq!(answers[0].status, 200, "{fault}: {:?}", answers[0].body);
        assert_eq!(answers[1].status, 503, "{fault}: {:?}", answers[1].body);
        assert!(answers[1].body.contains(words), "{fault}: {:?}", answers[1].body);
        token.fault("");
        let answer = proxy.call("POST", "/wallets", WALLET);
        assert_eq!(answer.status, 200, "{fault}: {:?}", answer.body);
    }
    assert_eq!(proxy.stop().code, 0);
}

#[test]
fn a_token_that_does_not_sign_is_a_diagnosis_wherever_it_is_used() {
    let Some(token) = Token::new() else { return };
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    let held = held(&token, &sandbox, token.uri("payments"));
    held.onboard();
    token.env.write("pin", "canary-wrong-pin-99887766");
    let commands = [
        &["call", "a", "POST", "/wallets", "--data", WALLET][..],
        &["proxy", "a"],
    ];
    for arguments in commands {
        held.run(arguments).fails(4, &["the PIN of the token `dfns` is wrong"]);
    }
    held.run(&["verify", "a"]).fails(5, &[]);
    token.env.write("pin", PIN);
    token.tool(&["--delete-object", "--type", "privkey", "--label", "payments"]);
    for arguments in commands {
        held.run(arguments)
            .fails(4, &["the object `payments` of the token `dfns` is not there"]);
    }
    // Another key under its name is not signed with.
    token.tool(&["--delete-object", "--type", "pubkey", "--label", "payments"]);
    held.ok(&["generate", "--key", &held.uri]);
    for arguments in commands {
        held.run(arguments).fails(4, &["is another key than it was"]);
    }
}
