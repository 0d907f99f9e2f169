//! The operations of the Dfns API: what there is, and which of them have to be signed.
//!
//! The table beside this file is made of facts from the vendor's public API description and SDKs (autumn 2026). It serves
//! for help and for collections; a path it does not know is not an error, since an API grows.

use std::sync::OnceLock;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The part of the API it belongs to, such as `Wallets`.
    pub tag: &'static str,
    /// What it does, such as `Create Wallet`.
    pub name: &'static str,
    /// In capitals.
    pub method: &'static str,
    /// Its path, with `{name}` for what varies.
    pub path: &'static str,
    /// Whether it needs a user action signature beside the token.
    pub signed: bool,
    /// The least JSON body, with `<string>` where a text belongs; empty where it takes none.
    pub body: &'static str,
}

impl Operation {
    /// The names of what varies in its path, in their order.
    pub fn path_variables(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    fn takes(&self, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(our), Some(their)) if our == their || our.starts_with('{') && !their.is_empty() => {}
                _ => return false,
            }
        }
    }
}

/// All of them, in folders that stand together.
pub fn all() -> &'static [Operation] {
    static ALL: OnceLock<Vec<Operation>> = OnceLock::new();
    ALL.get_or_init(|| {
        include_str!("operations.tsv")
            .lines()
            .skip(1)
            .map(|line| {
                let fields: Vec<&'static str> = line.split('\t').collect();
                let [tag, name, method, path, needs, body] = fields[..] else {
                    unreachable!("a test reads every line: {line}");
                };
                Operation {
                    tag,
                    name,
                    method,
                    path,
                    signed: needs == "signed",
                    body,
                }
            })
            .collect()
    })
}

/// The operation that a call is, where it is known. A path spelled out goes before one with a variable.
#[must_use]
pub fn find(method: &str, path: &str) -> Option<&'static Operation> {
    all()
        .iter()
        .filter(|operation| operation.method == method && operation.takes(path))
        .min_by_key(|operation| operation.path_variables().count())
}

/// The reading that shows what a call changed: of the same path, or of what it is a part of.
#[must_use]
pub fn reading_what_changes(method: &str, path: &str) -> Option<&'static Operation> {
    let mut path = find(method, path)?.path;
    loop {
        if let Some(reading) = all()
            .iter()
            .find(|operation| operation.method == "GET" && operation.path == path)
        {
            return Some(reading);
        }
        path = path.rsplit_once('/')?.0;
    }
}

/// What a call that is no known operation may have meant: the same path with another method, or else the nearest paths.
#[must_use]
pub fn nearest(method: &str, path: &str) -> Vec<&'static Operation> {
    let same_path: Vec<_> = all().iter().filter(|operation| operation.takes(path)).collect();
    if !same_path.is_empty() {
        return same_path;
    }
    let mut near: Vec<_> = all()
        .iter()
        .map(|operation| (distance(operation.path, path), operation))
        .filter(|(distance, _)| *distance <= 4)
        .collect();
    near.sort_by_key(|(distance, operation)| (*distance, operation.method != method));
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.into_iter()
        .take_while(|(distance, _)| *distance == best)
        .map(|(_, operation)| operation)
        .take(3)
        .collect()
}

/// Letters to change, where the paths have as many segments; what varies costs nothing, a missing slash or plural little.
fn distance(ours: &str, theirs: &str) -> usize {
    let theirs = theirs.trim_end_matches('/');
    let (our_count, their_count) = (ours.split('/').count(), theirs.split('/').count());
    if our_count != their_count {
        return strsim::levenshtein(ours, theirs);
    }
    ours.split('/')
        .zip(theirs.split('/'))
        .map(|(our, their)| match our.starts_with('{') {
            true if their.is_empty() => usize::MAX / 1000,
            true => 0,
            false => strsim::levenshtein(our, their),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        assert_eq!(all().len(), 266);
        for operation in all() {
            assert!(["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&operation.method));
            assert!(operation.path.starts_with('/') && !operation.name.is_empty());
            assert!(!(operation.signed && operation.method == "GET"), "{operation:?}");
            if !operation.body.is_empty() {
                let body: serde_json::Value = serde_json::from_str(operation.body).unwrap();
                assert!(body.is_object(), "{operation:?}");
            }
            assert_eq!(
                find(operation.method, operation.path),
                Some(operation),
                "no two are alike"
            );
        }
    }

    #[test]
    fn calls_are_found_by_their_paths() {
        let find = |method, path| find(method, path).map(|operation| operation.name);
        assert_eq!(find("GET", "/wallets/wa-1"), Some("Get Wallet"));
        assert_eq!(
            find("POST", "/wallets/import"),
            Some("Import Wallet"),
            "not a wallet named import"
        );
        assert_eq!(find("GET", "/wallets/"), None);
        assert_eq!(find("PATCH", "/wallets"), None);
    }

    #[test]
    fn what_a_call_changed_is_shown_by_a_reading_near_it() {
        let reading = |method, path| reading_what_changes(method, path).map(|operation| operation.path);
        assert_eq!(reading("POST", "/wallets"), Some("/wallets"));
        assert_eq!(reading("POST", "/wallets/import"), Some("/wallets"), "not one wallet");
        assert_eq!(
            reading("POST", "/wallets/wa-1/transfers"),
            Some("/wallets/{walletId}/transfers")
        );
        assert_eq!(reading("PUT", "/auth/pats/to-1/activate"), Some("/auth/pats/{tokenId}"));
        assert_eq!(reading("POST", "/something/else"), None);
    }

    #[test]
    fn a_slip_finds_what_was_meant() {
        let nearest = |method, path| {
            nearest(method, path)
                .iter()
                .map(|operation| format!("{} {}", operation.method, operation.path))
                .collect::<Vec<_>>()
        };
        assert_eq!(nearest("GET", "/walets")[0], "GET /wallets");
        assert_eq!(nearest("GET", "/wallet/wa-1")[0], "GET /wallets/{walletId}");
        assert_eq!(nearest("PATCH", "/wallets"), ["GET /wallets", "POST /wallets"]);
        assert_eq!(nearest("GET", "/wallets/")[0], "GET /wallets");
        assert_eq!(nearest("GET", "/something/else/altogether"), Vec::<String>::new());
    }
}
