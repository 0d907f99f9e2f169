//! The jobs that users come for, each built of `api`, `keys` and `vault`. No printing, no prompting.

mod account;
pub mod administrator;
pub mod adopt;
pub mod deliver;
pub mod import;
pub mod job;
pub mod onboard;
pub mod plan;
pub mod provision;
pub mod refusal;
pub mod remove;
pub mod rotate;
pub mod settings;
pub mod sharing;
pub mod sources;
pub mod status;
pub mod verify;
