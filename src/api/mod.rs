//! The vendor's API: one client for all calls, and User Action Signing.
//!
//! Facts: <https://docs.dfns.co/api-reference>. Where its documents disagree, the client lives with both readings.

pub mod accounts;
mod answer;
mod call;
pub mod client;
mod config;
pub mod credentials;
pub mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod limiter;
pub mod login;
mod mutation;
mod permissions;
pub mod raw;
mod reading;
mod remote_text;
mod retry;
pub mod user_action;
mod wire;

pub use client::Client;
pub use config::{ClientConfig, Progress};
pub use error::{ApiError, Phase};
pub use login::{CallError, UserSession};
pub use permissions::Registration;
pub use user_action::{Access, Action, ServerClock, SignedAction, SigningError};
