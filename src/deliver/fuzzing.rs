//! Answers of plug-ins as `tests/fuzz` gives them.

use super::Contents;
use super::plugin::answer_of;
use super::said::repeatable;

/// What a plug-in printed, as an answer and as words to be repeated.
pub(crate) fn plugin_answer(bytes: &[u8]) -> Vec<String> {
    let refused = answer_of("dfns-keys-target-fuzzed", bytes).err();
    let repeated = repeatable(bytes, &Contents::nothing());
    refused
        .map(|error| error.to_string())
        .into_iter()
        .chain(repeated)
        .collect()
}
