//! Place a call: check the request, hand the plan to the directory of live calls, keep its record.

use std::sync::Arc;

use chrono::Utc;

use super::{
    field::{FieldError, FieldErrors},
    nearest::nearest,
    policy::Policy,
    ports::{Calls, PlaceError, Voices},
    request::CallRequest,
};
use crate::{
    base::{CallId, E164, Pii},
    call::{
        event::{CallChange, CallEvent},
        record::{CallDirection, CallPlan, VoicemailAction},
    },
    store::Store,
};

/// Characters a task may have.
pub const TASK_MAX: usize = 4000;
/// Characters a first sentence or a voicemail message may have.
pub const SENTENCE_MAX: usize = 500;
/// Minutes a call may last.
pub const MINUTES: std::ops::RangeInclusive<i64> = 1..=30;
/// Language models a call may ask for; the configuration says what each is.
pub const MODELS: [&str; 2] = ["base", "turbo"];

const DEFAULT_MINUTES: u64 = 5;
const DEFAULT_VOICE: &str = "nat";
const DEFAULT_LANGUAGE: &str = "en";
/// Milliseconds of speech: shorter is a cough, longer is no interruption any more.
const INTERRUPTION_MS: std::ops::RangeInclusive<i64> = 50..=5_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct PlaceCall {
    policy: Arc<Policy>,
    voices: Arc<dyn Voices>,
    calls: Arc<dyn Calls>,
    store: Store,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceFailure {
    /// At least one; all that were found.
    #[error("{} of the request's fields cannot be used", .0.len())]
    Fields(Vec<FieldError>),
    #[error(transparent)]
    Unavailable(#[from] PlaceError),
}

impl PlaceCall {
    pub fn new(policy: Policy, voices: Arc<dyn Voices>, calls: Arc<dyn Calls>, store: Store) -> PlaceCall {
        PlaceCall { policy: Arc::new(policy), voices, calls, store }
    }

    /// The call's id, as soon as it is being dialled and can be read from the store.
    pub async fn place(&self, request: CallRequest) -> Result<CallId, PlaceFailure> {
        let plan = self.plan(request).map_err(PlaceFailure::Fields)?;
        let call = self.calls.place(plan.clone())?;
        self.keep(call, plan).await;
        Ok(call)
    }

    /// Writes the record now, so that a client that polls at once finds it. The call's own `Created`
    /// event says the same and changes nothing after this.
    async fn keep(&self, call: CallId, plan: CallPlan) {
        let change = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan) };
        let event = CallEvent { call, at: Utc::now(), change };
        if let Err(error) = self.store.apply(&event).await {
            tracing::warn!(%call, %error, "the record of a new call waits for the recorder");
        }
    }

    /// Checks every field; the errors are all that were found.
    pub fn plan(&self, request: CallRequest) -> Result<CallPlan, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let to = errors.check(self.policy.callable("phone_number", &request.phone_number));
        let from =
            errors.check(optional(request.from.as_deref(), |text| self.policy.caller_id("from", text)));
        let transfer = request.transfer_phone_number.as_deref();
        let transfer_to =
            errors.check(optional(transfer, |text| self.policy.callable("transfer_phone_number", text)));
        let task = errors.check(task(request.task));
        let first_sentence = errors.check(sentence("first_sentence", request.first_sentence));
        let voice = errors.check(self.voice(request.voice));
        let model = errors.check(model(request.model));
        let language = errors.check(language(request.language));
        let minutes = errors.check(minutes(request.max_duration));
        let threshold = errors.check(interruption(request.interruption_threshold));
        let voicemail = errors.check(voicemail(request.voicemail_action, request.voicemail_message));
        let metadata = errors.check(metadata(request.metadata));
        errors.into_result()?;

        let unwrapped = "no error was kept, so every check gave a value";
        let (voicemail_action, voicemail_message) = voicemail.expect(unwrapped);
        Ok(CallPlan {
            to: Some(to.expect(unwrapped)),
            from: from.expect(unwrapped),
            task: task.expect(unwrapped),
            first_sentence: first_sentence.expect(unwrapped),
            voice: voice.expect(unwrapped),
            model: model.expect(unwrapped),
            language: language.expect(unwrapped),
            max_duration_secs: minutes.expect(unwrapped) * 60,
            wait_for_greeting: request.wait_for_greeting.unwrap_or(false),
            record: request.record.unwrap_or(true),
            interruption_threshold_ms: threshold.expect(unwrapped),
            transfer_to: transfer_to.expect(unwrapped),
            voicemail_action,
            voicemail_message,
            metadata: metadata.expect(unwrapped),
        })
    }

    fn voice(&self, asked: Option<String>) -> Result<String, FieldError> {
        let Some(asked) = asked else { return Ok(DEFAULT_VOICE.to_owned()) };
        let known = self.voices.names();
        if known.contains(&asked) {
            return Ok(asked);
        }
        let fix = match nearest(&asked, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of: {}", known.join(", ")),
        };
        Err(FieldError::invalid("voice", "is not a voice of this node", fix))
    }
}

fn optional(
    text: Option<&str>,
    check: impl FnOnce(&str) -> Result<E164, FieldError>,
) -> Result<Option<E164>, FieldError> {
    text.map(check).transpose()
}

fn task(text: String) -> Result<Pii<String>, FieldError> {
    if text.trim().is_empty() {
        return Err(FieldError::invalid("task", "is empty", "say what the agent shall do on the call"));
    }
    at_most("task", text, TASK_MAX)
}

/// An empty sentence counts as none.
fn sentence(field: &str, text: Option<String>) -> Result<Option<Pii<String>>, FieldError> {
    text.filter(|text| !text.trim().is_empty()).map(|text| at_most(field, text, SENTENCE_MAX)).transpose()
}

fn at_most(field: &str, text: String, max: usize) -> Result<Pii<String>, FieldError> {
    let length = text.chars().count();
    if length <= max {
        return Ok(Pii::new(text));
    }
    let problem = format!("has {length} characters");
    Err(FieldError::invalid(field, problem, format!("shorten it to at most {max}")))
}

fn model(asked: Option<String>) -> Result<String, FieldError> {
    let asked = asked.unwrap_or_else(|| MODELS[0].to_owned());
    if MODELS.contains(&asked.as_str()) {
        return Ok(asked);
    }
    Err(FieldError::invalid("model", "is not a model", "use `base` or `turbo`"))
}

fn language(asked: Option<String>) -> Result<String, FieldError> {
    let asked = asked.unwrap_or_else(|| DEFAULT_LANGUAGE.to_owned());
    if matches!(asked.len(), 2 | 3) && asked.bytes().all(|b| b.is_ascii_lowercase()) {
        return Ok(asked);
    }
    let fix = "write its ISO 639 code in small letters, such as `en` or `es`";
    Err(FieldError::invalid("language", "is not a language code", fix))
}

fn minutes(asked: Option<i64>) -> Result<u64, FieldError> {
    let Some(asked) = asked else { return Ok(DEFAULT_MINUTES) };
    if MINUTES.contains(&asked) {
        return Ok(asked.unsigned_abs());
    }
    let fix = format!("use whole minutes from {} to {}", MINUTES.start(), MINUTES.end());
    Err(FieldError::invalid("max_duration", format!("is {asked}"), fix))
}

fn interruption(asked: Option<i64>) -> Result<Option<u64>, FieldError> {
    match asked {
        None => Ok(None),
        Some(ms) if INTERRUPTION_MS.contains(&ms) => Ok(Some(ms.unsigned_abs())),
        Some(ms) => {
            let fix = format!("use {} to {} milliseconds", INTERRUPTION_MS.start(), INTERRUPTION_MS.end());
            Err(FieldError::invalid("interruption_threshold", format!("is {ms}"), fix))
        }
    }
}

fn voicemail(
    action: Option<String>,
    message: Option<String>,
) -> Result<(VoicemailAction, Option<Pii<String>>), FieldError> {
    let action = match action {
        None => VoicemailAction::Hangup,
        Some(word) => word.parse().map_err(|_| {
            let fix = "use `hangup`, `leave_message` or `ignore`";
            FieldError::invalid("voicemail_action", "is not an action", fix)
        })?,
    };
    let message = sentence("voicemail_message", message)?;
    if action == VoicemailAction::LeaveMessage && message.is_none() {
        let fix = "say what to leave, or choose another `voicemail_action`";
        return Err(FieldError::invalid("voicemail_message", "is missing for `leave_message`", fix));
    }
    Ok((action, message))
}

fn metadata(value: Option<serde_json::Value>) -> Result<Option<serde_json::Value>, FieldError> {
    match value {
        Some(value) if !value.is_object() => {
            Err(FieldError::invalid("metadata", "is not an object", "send keys and values: {\"order\": 7}"))
        }
        value => Ok(value),
    }
}

#[cfg(test)]
#[path = "place_call_tests.rs"]
mod tests;
