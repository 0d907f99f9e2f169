//! What the other modules speak about: names, identifiers, addresses, secrets, and the states of a credential.
//! Nothing here touches a disk, a network or a terminal.

pub mod attempt;
pub mod credential;
pub mod delivery;
pub mod duration;
pub mod effect;
pub mod held_key;
pub mod ids;
pub mod key_uri;
pub mod operations;
pub mod quoted;
pub mod record;
pub mod rotation;
pub mod secret;
pub mod target;
pub mod token;
pub mod upkeep;
pub mod url;
pub mod user_action;
