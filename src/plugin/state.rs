//! What Status tells: one value, replaced as a whole.
use super::key_id::key_id;
use crate::{
    Error, Header, Recipient,
    rt::sync::{Mutex, lock},
};
use std::{sync::Arc, time::Instant};

/// Bytes of a reason: it stands in the API server's own health, and in its log.
const MOST_REASON: usize = 300;

/// How a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginHealth {
    /// Its KEKs have not answered yet.
    Starting,
    /// They wrapped when they were asked last.
    Healthy,
    /// They did not, and why: no secret, and short.
    Failing(String),
}

impl PluginHealth {
    /// Why it is not healthy.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Healthy => None,
            Self::Starting => Some("the KEKs have not answered yet"),
            Self::Failing(reason) => Some(reason),
        }
    }
}

/// Of one moment.
pub(super) struct Current {
    pub(super) key_id: Option<String>,
    /// The keys behind it.
    pub(super) keys: Vec<Recipient>,
    pub(super) health: PluginHealth,
    /// The header that the DEK of the last Encrypt has.
    commitment: Option<[u8; 32]>,
    /// When the KEKs wrapped last.
    pub(super) wrapped: Option<Instant>,
}

pub(super) struct State(Mutex<Arc<Current>>);

impl Default for State {
    fn default() -> Self {
        let starting = Current {
            key_id: None,
            keys: Vec::new(),
            health: PluginHealth::Starting,
            commitment: None,
            wrapped: None,
        };
        Self(Mutex::new(Arc::new(starting)))
    }
}

impl State {
    pub(super) fn current(&self) -> Arc<Current> {
        lock(&self.0).clone()
    }

    /// Something was sealed, begun `before`, under the DEK of `header`: what its caller is told, and
    /// whether that is new. `None`: another key may wrap by now, and it has to begin anew.
    pub(super) fn wrapped(
        &self,
        before: &Arc<Current>,
        header: &Header,
        now: Instant,
    ) -> Option<(Arc<Current>, bool)> {
        let id = key_id(header.recipients());
        let mut state = lock(&self.0);
        if state.commitment.as_ref() == Some(header.commitment()) {
            return Some((state.clone(), false));
        }
        // Since `before` another was told, which may be the later one.
        if state.key_id.as_ref() != Some(&id) && state.key_id != before.key_id {
            return None;
        }
        // It is a new DEK: the KEKs have answered.
        let new = Current {
            key_id: Some(id),
            keys: header.recipients().to_vec(),
            health: PluginHealth::Healthy,
            commitment: Some(*header.commitment()),
            wrapped: Some(now),
        };
        let has_changed = state.key_id != new.key_id || state.health != new.health;
        *state = Arc::new(new);
        Some((state.clone(), has_changed))
    }

    /// The KEKs did not wrap. What is new of that.
    pub(super) fn failed(&self, error: &Error) -> Option<Arc<Current>> {
        let health = PluginHealth::Failing(reason(error));
        let mut state = lock(&self.0);
        if state.health == health {
            return None;
        }
        let (key_id, keys) = (state.key_id.clone(), state.keys.clone());
        let (commitment, wrapped) = (state.commitment, state.wrapped);
        *state = Arc::new(Current { key_id, keys, health, commitment, wrapped });
        Some(state.clone())
    }
}

/// In one line.
fn reason(error: &Error) -> String {
    let said = error.to_string();
    let mut end = said.len().min(MOST_REASON);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    said[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::{Aad, DekPolicy, EncryptionContext, ErrorKind, Kms, Wait, kek::Mock};

    #[test]
    fn what_comes_late_does_not_bring_the_old_key_back() {
        let mock = Mock::new("k");
        let kms = Kms::builder().kek(mock.clone()).dek_policy(DekPolicy::per_message()).build().unwrap();
        let scope = kms.scope(EncryptionContext::empty());
        let header = || Header::parse(&scope.seal(Aad::empty(), b"seed").wait().unwrap()).unwrap();
        let (old, late) = (header(), header());
        mock.rotate();
        let new = header();
        let (state, now) = (State::default(), Instant::now());
        let told = |state: &State| (state.current().key_id.clone(), state.current().health.clone());
        assert_eq!(told(&state), (None, PluginHealth::Starting));
        let (first, is_new) = state.wrapped(&state.current(), &old, now).unwrap();
        assert!(is_new && first.key_id.as_deref() == Some("mock:k/1"));
        let is_new = |before, header| state.wrapped(before, header, now).map(|(_, is_new)| is_new);
        assert_eq!(is_new(&first, &old), Some(false));
        assert_eq!(is_new(&first, &new), Some(true));
        // Begun before the key moved, and over after it.
        assert_eq!(is_new(&first, &late), None);
        assert_eq!(told(&state), (Some("mock:k/2".into()), PluginHealth::Healthy));
    }

    #[test]
    fn a_failure_keeps_the_key_id_and_has_one_short_line() {
        let state = State::default();
        let error = Error::new(ErrorKind::Unavailable, format!("down\nfor {}", "é".repeat(999)));
        let PluginHealth::Failing(reason) = &state.failed(&error).unwrap().health else { panic!() };
        assert!(reason.starts_with("down for é") && reason.len() <= MOST_REASON);
        assert!(state.failed(&error).is_none(), "nothing is new");
    }
}
