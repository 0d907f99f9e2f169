//! Messages as users meet them: each file in `tests/cmd` is a session, letter by letter.

#[test]
fn sessions() {
    let home = tempfile::tempdir().unwrap();
    trycmd::TestCases::new()
        .env("HOME", home.path().display().to_string())
        .env("DFNS_KEYS_VAULT", "")
        .env("COLUMNS", "80")
        .case("tests/cmd/*.trycmd");
}
