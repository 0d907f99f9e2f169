//! Environments that people keep: `.env`, Postman; and manifests.

use super::{bounded, numbered};
use crate::support::TestEnv;

const MEGABYTE: usize = 1_000_000;

/// Repetitions up to nearly the size that is read, where all the work is done.
fn filled(part: &str) -> String {
    part.repeat(MEGABYTE / part.len())
}

#[test]
fn a_dotenv_file_of_any_shape_is_read_or_refused_soon() {
    let env = TestEnv::with_vault();
    let long = filled("x");
    let cases = [
        ("quoted values", filled("A=\"b\"\n")),
        ("single quotes", filled("A='b'\n")),
        ("empty values", filled("A=\n")),
        ("one open quote", format!("A=\"{long}")),
        ("backslashes", format!("A=\"{}\"\n", filled("\\"))),
        ("comments", filled("#\n")),
        ("white space", filled(" ")),
        ("names of ours", filled("DFNS_APP_ID=\"a\"\n")),
        ("a long name", format!("{long}=a\n")),
        ("a long token", format!("DFNS_AUTH_TOKEN={long}\n")),
        ("a token of dots", format!("DFNS_AUTH_TOKEN={}\n", filled("."))),
        ("a long key", format!("DFNS_PRIVATE_KEY={long}\n")),
        ("a key in layers", format!("DFNS_PRIVATE_KEY=\"{}\"\n", filled("\\\\n"))),
        (
            "a key of beginnings",
            format!("DFNS_PRIVATE_KEY=\"{}\"\n", filled("-----BEGIN ")),
        ),
        ("a long address", format!("DFNS_API_URL=https://{long}\n")),
        (
            "an address of letters from afar",
            format!("DFNS_API_URL=https://{}\n", filled("ü")),
        ),
        (
            "an address of labels",
            format!("DFNS_API_URL=https://{}\n", filled("ü.")),
        ),
        (
            "an address of dots",
            format!("DFNS_API_URL=https://a/{}\n", filled("../")),
        ),
        ("a long origin", format!("DFNS_ORIGIN=https://{}\n", filled("xn--"))),
        ("long ids", format!("DFNS_CRED_ID={long}\n")),
        ("a long organisation", format!("DFNS_ORG_ID={long}\n")),
    ];
    for (what, text) in cases {
        env.write("a.env", text);
        let run = bounded(&env, &["verify", "--dotenv", "a.env", "--offline"]);
        assert!(
            run.code == 5 && run.stdout.len() < 20_000 && run.stderr.len() < 2_000,
            "{what}: {} {} {}",
            run.code,
            run.stdout.len(),
            run.stderr.len()
        );
        let run = bounded(
            &env,
            &["import", "a", "--dotenv", "a.env", "--offline", "--delete-source"],
        );
        assert!(
            run.code != 0 && run.stderr.len() < 2_000,
            "{what}: {}",
            run.stderr.len()
        );
    }
}

#[test]
fn a_postman_file_of_any_shape_is_read_or_refused_soon() {
    let env = TestEnv::with_vault();
    let long = filled("x");
    let values = |values: &str| format!("{{\"name\":\"n\",\"values\":[{values}]}}");
    let cases = [
        ("arrays in arrays", filled("[")),
        ("objects in objects", filled("{\"a\":")),
        ("numbers", format!("[{}0]", filled("0,"))),
        ("values that are none", values(&format!("{}0", filled("0,")))),
        ("empty values", values(&format!("{}{{}}", filled("{},")))),
        ("empty arrays", values(&format!("{}[]", filled("[],")))),
        (
            "many keys",
            format!("{{{}\"values\":[]}}", numbered(90_000, |n| format!("\"{n}\":0,"))),
        ),
        (
            "other variables",
            values(&format!("{}{{}}", filled("{\"key\":\"k\"},"))),
        ),
        (
            "a long name",
            format!(
                "{{\"name\":\"prod {long}\",\"values\":[{{\"key\":\"dfnsApiDomain\",\"value\":\"api.dfns.ninja\"}}]}}"
            ),
        ),
        ("a long number", format!("[{}]", filled("9"))),
        (
            "a long token",
            values(&format!("{{\"key\":\"authToken\",\"value\":\"{long}\"}}")),
        ),
        (
            "a long domain",
            values(&format!("{{\"key\":\"dfnsApiDomain\",\"value\":\"{long}\"}}")),
        ),
        (
            "a long scheme",
            values(&format!(
                "{{\"key\":\"dfnsApiDomain\",\"value\":\"a\"}},{{\"key\":\"dfnsApiScheme\",\"value\":\"{long}\"}}"
            )),
        ),
    ];
    for (what, text) in cases {
        env.write("a.json", &text);
        let run = bounded(&env, &["verify", "--postman", "a.json", "--offline"]);
        assert!(
            run.code == 5 && run.stdout.len() < 20_000 && run.stderr.len() < 2_000,
            "{what}: {} {} {}",
            run.code,
            run.stdout.len(),
            run.stderr.len()
        );
        let run = bounded(
            &env,
            &["import", "a", "--postman", "a.json", "--offline", "--delete-source"],
        );
        assert!(
            run.code != 0 && run.stderr.len() < 2_000,
            "{what}: {}",
            run.stderr.len()
        );
    }
}

#[test]
fn a_manifest_of_any_shape_is_refused_soon() {
    let env = TestEnv::with_vault();
    let long = filled("x");
    let rows = |row: &str| format!("name\n{}", filled(row));
    let cases = [
        ("many.csv", rows("a\n")),
        (
            "distinct.csv",
            format!("name\n{}", numbered(100_000, |n| format!("a{n}\n"))),
        ),
        ("columns.csv", filled(",")),
        ("field.csv", format!("name\n{long}\n")),
        ("quote.csv", format!("name\n\"{long}\n")),
        ("permissions.csv", format!("name,permissions\na,{}\n", filled(";"))),
        ("tables.toml", filled("[[account]]\n")),
        ("accounts.toml", filled("[[account]]\nname=\"a\"\n")),
        ("keys.toml", numbered(100_000, |n| format!("a{n}=1\n"))),
        ("dotted.toml", format!("{}a = 1", filled("a."))),
        ("nested.toml", format!("a = {}", filled("["))),
        ("inline.toml", format!("a = {}", filled("{a="))),
        ("array.toml", format!("a = [{}]", filled("1,"))),
        ("string.toml", format!("[[account]]\nname = \"{long}\"")),
        ("unknown.toml", format!("{long} = 1")),
    ];
    for (name, text) in cases {
        env.write(name, &text);
        let run = bounded(&env, &["onboard", "--from", name, "--as", "admin"]);
        assert!(
            matches!(run.code, 2 | 3) && run.stderr.len() < 2_000,
            "{name}: {} {}",
            run.code,
            run.stderr.get(..2_000).unwrap_or(&run.stderr)
        );
    }
}

#[test]
fn a_file_larger_than_any_environment_is_not_looked_at() {
    let env = TestEnv::with_vault();
    env.write("large.env", "A=a\n".repeat(300_000));
    let run = bounded(&env, &["verify", "--dotenv", "large.env", "--offline"]);
    assert!(
        run.code != 0 && run.stdout.contains("it is larger than 1048576"),
        "{run:?}"
    );
}
