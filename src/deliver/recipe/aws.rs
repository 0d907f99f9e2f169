//! What the recipes of AWS have in common: whose account it is, which region, and what `aws` says.

use super::Question;

/// An account and a region.
pub(super) const PLACE: &[Question] = &[
    Question {
        words: &[
            "sts",
            "get-caller-identity",
            "--query=Account",
            "--output=text",
            "--profile={profile}",
            "--region={region}",
        ],
        unless: "",
        answer: account,
    },
    Question {
        words: &["configure", "list", "--profile={profile}"],
        unless: "region",
        answer: region,
    },
];

pub(super) const ADVICE: &[(&str, &str)] = &[
    (
        "Unable to locate credentials",
        "sign in: `aws sso login` or `aws configure`, and ?profile= where it is not the default",
    ),
    ("SSO", "sign in again: `aws sso login`, with the same profile"),
    ("ExpiredToken", "sign in again: `aws sso login`, with the same profile"),
    (
        "security token included in the request is",
        "sign in again: `aws sso login`, with the same profile",
    ),
    ("could not be found", "`aws configure list-profiles` lists the profiles"),
    ("specify a region", "name the region: ?region="),
    (
        "AccessDenied",
        "its policy is to allow reading and putting this secret, and `sts:GetCallerIdentity`",
    ),
    (
        "scheduled for deletion",
        "`aws secretsmanager restore-secret` brings it back",
    ),
    ("Could not connect", "AWS cannot be reached from here"),
];

fn account(answer: &str) -> Option<String> {
    let digits = answer.len() == 12 && answer.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("account {answer}"))
}

/// Of the table that `aws configure list` prints, with colons between its columns in newer versions.
fn region(answer: &str) -> Option<String> {
    let columns = |line: &str| -> Vec<String> {
        let words = line.split(|c: char| c.is_whitespace() || c == ':');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let row = answer
        .lines()
        .map(columns)
        .find(|row| row.first().is_some_and(|name| name == "region"))?;
    let region = row.get(1)?;
    let fits = region
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    fits.then(|| format!("region {region}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_either_table() {
        let old = "      Name                    Value             Type    Location\n    region             eu-central-1  config-file    ~/.aws/config\n";
        let new = "NAME       : VALUE        : TYPE : LOCATION\nregion     : eu-central-1 : env  : ['AWS_REGION']\n";
        for table in [old, new] {
            assert_eq!(region(table).as_deref(), Some("region eu-central-1"));
        }
        assert_eq!(
            region("    region                <not set>             None    None\n"),
            None
        );
        assert_eq!(account("123456789012").as_deref(), Some("account 123456789012"));
        assert_eq!(account("None"), None);
    }
}
