//! What can be wrong with a token, each with its word and its exit code.

use crate::token::{PIN, Token};

#[test]
fn a_key_is_made_in_a_token_and_cannot_be_taken_out() {
    let Some(token) = Token::new() else { return };
    let uri = token.uri("payments");
    let made = token.ok(&["generate", "--key", &uri]);
    assert_eq!(token.ok(&["public-key", "--key", &uri]), made);
    let objects = token.tool(&["--list-objects", "--type", "privkey"]);
    assert!(
        objects.contains("payments") && objects.contains("sensitive, always sensitive, never extractable, local"),
        "{objects}"
    );
    // The very same key, as another tool reads it there.
    token.tool(&[
        "--read-object",
        "--type",
        "pubkey",
        "--label",
        "payments",
        "--output-file",
        "public.der",
    ]);
    let mut openssl = token.env.bare("openssl");
    openssl.args(["pkey", "-pubin", "-inform", "DER", "-in", "public.der"]);
    assert_eq!(crate::support::peer_ok(&mut openssl), made.as_bytes());
    // Nothing is made over it.
    token.run(&["generate", "--key", &uri]).fails(
        3,
        &[
            "the object `payments` of the token `dfns` is there already",
            "public-key --key",
        ],
    );
    assert_eq!(token.ok(&["public-key", "--key", &uri]), made);
}

#[test]
fn what_is_wrong_with_a_pin_is_told_apart_and_never_tried_twice() {
    let Some(token) = Token::new() else { return };
    let Some(faulty) = token.faulty() else { return };
    let uri = token.uri_of(&faulty, "a");
    token.ok(&["generate", "--key", &uri]);
    let ask = |uri: &str| {
        std::fs::write(token.env.path("logins"), "").unwrap();
        let run = token.run(&["public-key", "--key", uri, "-v"]);
        let logins = std::fs::read_to_string(token.env.path("logins")).unwrap();
        (run, logins.lines().count())
    };
    token.env.write("pin", "canary-wrong-pin-99887766\n");
    let (run, logins) = ask(&uri);
    run.fails(4, &["the PIN of the token `dfns` is wrong", "tried once"]);
    assert_eq!(logins, 1);
    assert!(!format!("{run:?}").contains("canary"), "{run:?}");
    token.env.write("pin", PIN);
    for (fault, words, tried) in [
        ("login-locked", "is locked: too many wrong PINs", 1),
        ("pin-locked", "is locked: too many wrong PINs", 0),
        ("last-try", "one more wrong PIN locks the token", 0),
    ] {
        token.fault(fault);
        let (run, logins) = ask(&uri);
        run.fails(4, &[words]);
        assert_eq!(logins, tried, "{fault}");
    }
    token.fault("");
    std::fs::remove_file(token.env.path("pin")).unwrap();
    let (run, _) = ask(&uri);
    run.fails(4, &["the PIN cannot be read", "No such file"]);
    let without = uri.split("&pin-source").next().unwrap();
    let (run, _) = ask(without);
    run.fails(4, &["wants a PIN, and there is none", "DFNS_KEYS_PIN_FILE"]);
    let given = token.env.write("elsewhere", format!("{PIN}\n"));
    let mut command = token.command(&["public-key", "--key", without]);
    crate::support::Run::of(command.env("DFNS_KEYS_PIN_FILE", given)).fails(0, &[]);
}

#[test]
fn what_is_wrong_with_a_module_is_told_apart() {
    let Some(token) = Token::new() else { return };
    let Some(faulty) = token.faulty() else { return };
    let uri = token.uri_of(&faulty, "a");
    token.ok(&["generate", "--key", &uri]);
    for (fault, words) in [
        ("load-crash", ["faulty.so crashed", "a process of its own"]),
        ("load-hang", ["faulty.so did not answer within 1 s", "--timeout"]),
    ] {
        token.fault(fault);
        token
            .run(&["public-key", "--timeout", "1s", "--key", &uri])
            .fails(6, &words);
    }
    token.fault("");
    token.ok(&["public-key", "--key", &uri]);
    let nothing = token.uri_of("/nowhere/module.so", "a");
    token
        .run(&["public-key", "--key", &nothing])
        .fails(4, &["/nowhere/module.so cannot be loaded", "No such file or directory"]);
    let text = token.env.write("text.so", "not a module");
    let text = token.uri_of(text.to_str().unwrap(), "a");
    token
        .run(&["public-key", "--key", &text])
        .fails(4, &["cannot be loaded"]);
}

#[test]
fn what_is_wrong_with_an_object_is_told_apart() {
    let Some(token) = Token::new() else { return };
    let make = |label: &str, id: &str, kind: &str, more: &[&str]| {
        let arguments = ["--keypairgen", "--key-type", kind, "--label", label, "--id", id];
        token.tool(&[&arguments[..], more].concat());
    };
    make("twice", "01", "EC:secp256r1", &["--usage-sign"]);
    make("twice", "02", "EC:secp256r1", &["--usage-sign"]);
    make("rsa", "03", "rsa:2048", &["--usage-sign"]);
    make("p384", "04", "EC:secp384r1", &["--usage-sign"]);
    make("loose", "05", "EC:secp256r1", &["--usage-sign", "--extractable"]);
    for (object, words) in [
        (
            "nothing",
            &["the object `nothing` of the token `dfns` is not there"][..],
        ),
        ("twice", &["is there 2 times", "id=%"]),
        ("rsa", &["is an RSA key, and not a P-256 key"]),
        ("p384", &["is on another curve"]),
        ("loose", &["is one that can be taken out of the token"]),
    ] {
        token.run(&["public-key", "--key", &token.uri(object)]).fails(4, words);
    }
    let by_id = token.uri("twice").replace('?', ";id=%02?");
    token.ok(&["public-key", "--key", &by_id]);
    let elsewhere = token.uri("twice").replace("token=dfns", "token=other");
    token
        .run(&["public-key", "--key", &elsewhere])
        .fails(6, &["there is no token `other`: the module shows `dfns`"]);
    token.init("dfns");
    token
        .run(&["public-key", "--key", &by_id])
        .fails(4, &["the token `dfns` is there 2 times", "serial="]);
}

/// What a module could read around it: the environment and the arguments of its process.
#[test]
fn a_module_finds_nothing_of_the_vault_around_it() {
    let Some(token) = Token::new() else { return };
    let Some(faulty) = token.faulty() else { return };
    let uri = token.uri_of(&faulty, "a");
    token.fault("look-around");
    let mut command = token.command(&["generate", "--key", &uri, "--json"]);
    let run = crate::support::Run::of(command.env("DFNS_KEYS_PASSPHRASE", "canary-passphrase"));
    assert_eq!(run.code, 0, "{run:?}");
    let seen = std::fs::read(token.env.path("logins")).unwrap();
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        seen.contains("SOFTHSM2_CONF=") && seen.contains("load-pkcs11-module"),
        "{seen}"
    );
    for hidden in [
        "canary",
        "DFNS_KEYS_IDENTITY",
        "DFNS_KEYS_PASSPHRASE",
        "DFNS_KEYS_PIN_FILE",
    ] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
    assert!(!format!("{run:?}").contains("canary"), "{run:?}");
}
