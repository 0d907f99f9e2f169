//! What the sandbox knows: identities, their keys, open challenges, signed actions, and the calls it answered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::error::Unspecified;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::Doctrine;
use super::faults::{Faults, Late};
use super::identity::{Assignment, Identity, Permission, RegisteredKey};
use super::judge::{JudgedKey, Mint};
use super::request::Request;
use crate::model::credential::Kind;

/// How long a challenge can be answered, and a user action used.
pub(super) const SHORT_LIFE: Duration = Duration::from_secs(60);
const CALLS_KEPT: usize = 100_000;

/// A challenge that waits for its signature.
pub(super) struct Challenge {
    pub(super) token_id: String,
    pub(super) challenge: String,
    pub(super) action: BoundAction,
    pub(super) born: Instant,
}

/// A one-time code that registers a key for a user.
pub(super) struct Code {
    pub(super) user_id: String,
    pub(super) born: Instant,
}

/// A challenge for registering a key or for logging in.
pub(super) struct UserChallenge {
    pub(super) user_id: String,
    pub(super) challenge: String,
    pub(super) born: Instant,
}

/// A call that a user action allows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BoundAction {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) payload_hash: Vec<u8>,
}

/// A user action that was signed and not used yet.
pub(super) struct SignedAction {
    pub(super) token_id: String,
    pub(super) action: BoundAction,
    pub(super) born: Instant,
}

/// A call that was answered; status 0 for one that was cut off.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LoggedCall {
    pub(super) at: Timestamp,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
}

pub(super) struct World {
    pub(super) organisation_id: String,
    pub(super) doctrine: Doctrine,
    pub(super) mint: Mint,
    pub(super) identities: Vec<Identity>,
    pub(super) permissions: Vec<Permission>,
    pub(super) challenges: HashMap<String, Challenge>,
    pub(super) actions: HashMap<String, SignedAction>,
    pub(super) used_actions: HashSet<String>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) user_challenges: HashMap<String, UserChallenge>,
    /// Paths whose signed calls wait for an approval.
    pub(super) approvals: Vec<String>,
    /// Whether the tokens of new accounts say no more of themselves than the vendor documents.
    pub(super) bare_tokens: bool,
    /// How many items a page of a list has, where lists have pages.
    pub(super) page_size: Option<usize>,
    /// How long a user's session lasts, in seconds.
    pub(super) session_s: i64,
    pub(super) calls: VecDeque<LoggedCall>,
    pub(super) faults: Faults,
    pub(super) late: Late,
    pub(super) clock_offset_s: i64,
    recent: VecDeque<Instant>,
}

impl World {
    pub(super) fn new(doctrine: Doctrine) -> Result<Self, Unspecified> {
        let mint = Mint::new()?;
        Ok(Self {
            organisation_id: id("or", &mint),
            doctrine,
            mint,
            identities: Vec::new(),
            permissions: Vec::new(),
            challenges: HashMap::new(),
            actions: HashMap::new(),
            used_actions: HashSet::new(),
            codes: HashMap::new(),
            user_challenges: HashMap::new(),
            approvals: Vec::new(),
            bare_tokens: false,
            page_size: None,
            session_s: 3600,
            calls: VecDeque::new(),
            faults: Faults::default(),
            late: Late::default(),
            clock_offset_s: 0,
            recent: VecDeque::new(),
        })
    }

    pub(super) fn clock_offset(&self) -> SignedDuration {
        SignedDuration::from_secs(self.clock_offset_s)
    }

    /// What time it is in here.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now()
            .checked_add(self.clock_offset())
            .unwrap_or(Timestamp::MAX)
    }

    pub(super) fn id(&self, prefix: &str) -> String {
        id(prefix, &self.mint)
    }

    pub(super) fn log(&mut self, request: &Request, status: u16) {
        if self.calls.len() == CALLS_KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(LoggedCall {
            at: Timestamp::now(),
            method: request.method.clone(),
            path: request.path.clone(),
            status,
        });
    }

    /// How many seconds a caller over the limit should wait.
    pub(super) fn over_limit(&mut self, per_minute: u32) -> Option<u64> {
        const MINUTE: Duration = Duration::from_secs(60);
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.recent.pop_front();
        }
        if self.recent.len() >= per_minute as usize {
            let oldest = self.recent.front().copied().unwrap_or(now);
            return Some(MINUTE.saturating_sub(now.duration_since(oldest)).as_secs() + 1);
        }
        self.recent.push_back(now);
        None
    }

    /// Makes an identity with one key, and its token, which exists nowhere else.
    pub(super) fn create(
        &mut self,
        kind: Kind,
        name: &str,
        public_key: &str,
        external_id: Option<&str>,
        life: SignedDuration,
    ) -> Result<String, &'static str> {
        if name.trim().is_empty() {
            return Err("name must not be empty");
        }
        if self.identities.iter().any(|other| other.name == name) {
            return Err("the name is taken");
        }
        let is_ours = |other: &Identity| external_id.is_some() && other.external_id.as_deref() == external_id;
        if self.identities.iter().any(is_ours) {
            return Err("the externalId is taken");
        }
        let key = JudgedKey::parse(public_key)?;
        let now = self.now();
        let expires_at = now.checked_add(life).map_err(|_| "that is too long a life")?;
        let (user_id, token_id) = (self.id("us"), self.id("to"));
        let mut claims = json!({
            "iss": "auth.sandbox.invalid",
            "iat": now.as_second(),
            "exp": expires_at.as_second(),
            "jti": token_id,
            "https://custom/app_metadata": {"orgId": self.organisation_id, "userId": user_id},
        });
        if self.bare_tokens {
            claims["jti"] = Value::Null;
            claims["sandbox"] = token_id.clone().into();
            claims["https://custom/app_metadata"]["userId"] = Value::Null;
        }
        let token = self.mint.token(&claims);
        let key = self.registered(self.mint.random_text(40), public_key, key);
        self.identities.push(Identity {
            external_id: external_id.map(str::to_owned),
            expires_at,
            keys: vec![key],
            ..Identity::new(kind, user_id, token_id, name, now)
        });
        Ok(token)
    }

    /// A key that is registered under this id.
    pub(super) fn registered(&self, id: String, pem: &str, key: JudgedKey) -> RegisteredKey {
        RegisteredKey {
            id,
            pem: pem.to_owned(),
            uuid: self.id("cr"),
            key,
            active: true,
        }
    }

    /// Registers one more key for an identity.
    pub(super) fn add_key(&mut self, token_id: &str, public_key: &str) -> Result<String, &'static str> {
        let key = JudgedKey::parse(public_key)?;
        let id = self.mint.random_text(40);
        let key = self.registered(id.clone(), public_key, key);
        // In front, so that a client which takes the first one blindly is found out.
        self.identity_mut(token_id).ok_or("no such token")?.keys.insert(0, key);
        Ok(id)
    }

    /// Makes a user without a key, or finds the one there is, and returns a one-time code for registering one.
    pub(super) fn code_for(&mut self, username: &str) -> Result<String, &'static str> {
        if username.trim().is_empty() {
            return Err("username must not be empty");
        }
        let found = self
            .identities
            .iter()
            .find(|identity| identity.kind == Kind::User && identity.name == username)
            .map(|identity| identity.user_id.clone());
        let user_id = if let Some(user_id) = found {
            user_id
        } else {
            let (user_id, token_id) = (self.id("us"), self.id("to"));
            let user = Identity::new(Kind::User, user_id.clone(), token_id, username, self.now());
            self.identities.push(user);
            user_id
        };
        let code = self.mint.random_text(12);
        self.codes.insert(
            code.clone(),
            Code {
                user_id: user_id.clone(),
                born: Instant::now(),
            },
        );
        Ok(code)
    }

    /// A session token for a user.
    pub(super) fn session(&self, user: &Identity) -> String {
        let now = self.now().as_second();
        self.mint.token(&json!({
            "iss": "auth.sandbox.invalid",
            "iat": now,
            "exp": now + self.session_s,
            "jti": user.token_id,
            "https://custom/app_metadata": {"orgId": self.organisation_id, "userId": user.user_id},
        }))
    }

    /// Makes a permission.
    pub(super) fn permit(&mut self, name: String, operations: Vec<String>) -> String {
        let id = self.id("pm");
        self.permissions.push(Permission {
            id: id.clone(),
            name,
            operations,
        });
        id
    }

    /// Makes a permission with these operations and gives it to an identity.
    pub(super) fn grant(&mut self, token_id: &str, operations: Vec<String>) -> Result<(), &'static str> {
        let name = format!("permission {}", self.permissions.len() + 1);
        let permission_id = self.permit(name, operations);
        self.assign(token_id, &permission_id).map(drop)
    }

    /// Gives a permission to an identity; the assignment's id.
    pub(super) fn assign(&mut self, token_id: &str, permission_id: &str) -> Result<String, &'static str> {
        if !self.permissions.iter().any(|permission| permission.id == permission_id) {
            return Err("no such permission");
        }
        let id = self.id("as");
        let identity = self.identity_mut(token_id).ok_or("no such identity")?;
        if identity
            .assignments
            .iter()
            .any(|one| one.permission_id == permission_id)
        {
            return Err("the identity has this permission already");
        }
        identity.assignments.push(Assignment {
            id: id.clone(),
            permission_id: permission_id.to_owned(),
        });
        Ok(id)
    }

    /// The permissions of an identity, with the assignment that gives each.
    pub(super) fn permissions_of<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> impl Iterator<Item = (&'a Assignment, &'a Permission)> {
        identity.assignments.iter().filter_map(|assignment| {
            let permission = self.permissions.iter().find(|one| one.id == assignment.permission_id)?;
            Some((assignment, permission))
        })
    }

    pub(super) fn identity(&self, token_id: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.token_id == token_id)
    }

    pub(super) fn identity_mut(&mut self, token_id: &str) -> Option<&mut Identity> {
        self.identities
            .iter_mut()
            .find(|identity| identity.token_id == token_id)
    }
}

fn id(prefix: &str, mint: &Mint) -> String {
    format!(
        "{prefix}-{}-{}-{}",
        mint.random_text(5),
        mint.random_text(5),
        mint.random_text(16)
    )
}
