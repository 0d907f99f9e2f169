//! Sources as `tests/fuzz` reads them, and what the checks without the network say of what was found.

use super::{Subject, Unreadable};

/// A `.env` file's text.
pub(crate) fn dotenv(text: &str) -> Result<Subject, Unreadable> {
    super::from_dotenv("fuzzed.env", text, None)
}

/// A Postman environment's text.
pub(crate) fn postman(text: &str) -> Result<Subject, Unreadable> {
    super::from_postman("fuzzed.json", text, None)
}
