//! The calls that are up, by their dialogs: which of them a request belongs to, and whether an INVITE is a
//! second copy of one that is here. A Call-ID alone says neither: a proxy that sends our own call back to us
//! makes two calls of one Call-ID, and so does one that forks.
//!
//! Pure. In: calls that begin, learn their tag and end. Out: the `T` of each, by what a request names.

use std::collections::HashMap;

/// One call among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallKey {
    call_id: String,
    number: u64,
}

impl CallKey {
    pub fn call_id(&self) -> &str {
        &self.call_id
    }
}

/// What tells an INVITE from others of its Call-ID (RFC 3261 section 8.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub from_tag: String,
    pub cseq: u32,
}

/// The very same request is here by another way: 482.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merged;

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    /// Of the INVITE that brought it, if it came in.
    origin: Option<Origin>,
    /// Ours, once a dialog is there.
    tag: Option<String>,
    call: T,
}

#[derive(Debug)]
pub(super) struct Calls<T> {
    by_id: HashMap<String, Vec<Entry<T>>>,
    count: usize,
    begun: u64,
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Calls { by_id: HashMap::new(), count: 0, begun: 0 }
    }
}

impl<T> Calls<T> {
    /// `origin` is that of the INVITE of a call that comes in.
    pub fn begin(&mut self, call_id: &str, origin: Option<Origin>, call: T) -> Result<CallKey, Merged> {
        let entries = self.by_id.entry(call_id.to_owned()).or_default();
        if origin.is_some() && entries.iter().any(|entry| entry.origin == origin) {
            return Err(Merged);
        }
        let number = self.begun;
        entries.push(Entry { number, origin, tag: None, call });
        self.begun += 1;
        self.count += 1;
        Ok(CallKey { call_id: call_id.to_owned(), number })
    }

    /// From here on requests that name `tag` are this call's; one that it had before is forgotten.
    pub fn name(&mut self, key: &CallKey, tag: String) {
        let entries = self.by_id.get_mut(&key.call_id);
        if let Some(entry) = entries.and_then(|entries| entries.iter_mut().find(|e| e.number == key.number)) {
            entry.tag = Some(tag);
        }
    }

    pub fn end(&mut self, key: &CallKey) {
        let Some(entries) = self.by_id.get_mut(&key.call_id) else { return };
        let before = entries.len();
        entries.retain(|entry| entry.number != key.number);
        self.count -= before - entries.len();
        if entries.is_empty() {
            self.by_id.remove(&key.call_id);
        }
    }

    pub fn is_up(&self, key: &CallKey) -> bool {
        let entries = self.by_id.get(&key.call_id);
        entries.is_some_and(|entries| entries.iter().any(|entry| entry.number == key.number))
    }

    /// The call that a request within it is for.
    pub fn addressed(&self, call_id: &str, tag: &str) -> Option<&T> {
        let mut entries = self.by_id.get(call_id)?.iter();
        entries.find(|entry| entry.tag.as_deref() == Some(tag)).map(|entry| &entry.call)
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_id.values().flatten().map(|entry| &entry.call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(from_tag: &str, cseq: u32) -> Option<Origin> {
        Some(Origin { from_tag: from_tag.into(), cseq })
    }

    #[test]
    fn only_the_very_same_invite_is_merged() {
        let mut calls = Calls::default();
        let first = calls.begin("id", origin("a", 1), ()).unwrap();
        assert_eq!(calls.begin("id", origin("a", 1), ()), Err(Merged));
        for other in [origin("a", 2), origin("b", 1)] {
            assert!(calls.begin("id", other, ()).is_ok());
        }
        assert!(calls.begin("other", origin("a", 1), ()).is_ok());
        assert_eq!(calls.len(), 4);
        calls.end(&first);
        assert!(calls.begin("id", origin("a", 1), ()).is_ok(), "what is over merges with nothing");
    }

    #[test]
    fn our_own_call_that_comes_back_is_another_call() {
        let mut calls = Calls::default();
        let out = calls.begin("id", None, "out").unwrap();
        calls.name(&out, "ours".into());
        let back = calls.begin("id", origin("ours", 1), "back").unwrap();
        calls.name(&back, "its".into());
        assert_eq!(calls.addressed("id", "ours"), Some(&"out"));
        assert_eq!(calls.addressed("id", "its"), Some(&"back"));
        assert_eq!(calls.addressed("id", "nobody's"), None);
        calls.end(&out);
        calls.end(&out);
        assert!(!calls.is_up(&out) && calls.is_up(&back));
        assert_eq!((calls.addressed("id", "ours"), calls.len()), (None, 1));
        calls.end(&back);
        assert_eq!((calls.len(), calls.by_id.len(), calls.iter().count()), (0, 0, 0));
    }

    #[test]
    fn attempt_after_another_is_named_anew() {
        let mut calls = Calls::default();
        let call = calls.begin("id", None, "out").unwrap();
        assert_eq!(calls.addressed("id", "first"), None);
        calls.name(&call, "first".into());
        calls.name(&call, "second".into());
        assert_eq!((calls.addressed("id", "first"), calls.addressed("id", "second")), (None, Some(&"out")));
    }
}
