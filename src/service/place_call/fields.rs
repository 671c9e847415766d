//! The fields of a request, one by one: each becomes a value of the plan or an error that names it.

use chrono::{DateTime, Utc};

use super::{
    DEFAULT_LANGUAGE, DEFAULT_MINUTES, DEFAULT_VOICE, INTERRUPTION_MS, METADATA_MAX, MINUTES, MODELS,
    SENTENCE_MAX, TASK_MAX,
};
use crate::{
    base::{E164, Pii},
    call::record::{CallPlan, VoicemailAction},
    service::{
        field::{FieldError, FieldErrors},
        nearest::nearest,
        policy::{self, Policy},
        ports::Voices,
        request::{CallRequest, Caller},
    },
};

/// What the fields are checked against.
pub(super) struct Against<'a> {
    pub policy: &'a Policy,
    pub voices: &'a dyn Voices,
    pub by: &'a Caller,
    pub now: DateTime<Utc>,
}

impl Against<'_> {
    /// Checks every field; the errors are all that were found.
    pub(super) fn plan(&self, request: CallRequest) -> Result<CallPlan, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let to = errors.check(self.callable("phone_number", &request.phone_number));
        let from = errors.check(optional(request.from.as_deref(), |text| self.caller_id(text)));
        let transfer = request.transfer_phone_number.as_deref();
        let transfer_to =
            errors.check(optional(transfer, |text| self.callable("transfer_phone_number", text)));
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
            home: None,
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
            owner: self.by.wallet().cloned(),
            price: None,
        })
    }

    fn callable(&self, field: &str, text: &str) -> Result<E164, FieldError> {
        self.policy.callable(field, text, self.now)
    }

    /// The operator shows the node's own numbers. Whether a wallet leases its number is the gate's to ask.
    fn caller_id(&self, text: &str) -> Result<E164, FieldError> {
        match self.by {
            Caller::Operator => self.policy.caller_id("from", text),
            Caller::Wallet(_) | Caller::Unknown => policy::e164("from", text),
        }
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
    let Some(value) = value else { return Ok(None) };
    if !value.is_object() {
        let fix = "send keys and values: {\"order\": 7}";
        return Err(FieldError::invalid("metadata", "is not an object", fix));
    }
    let length = value.to_string().len();
    if length > METADATA_MAX {
        let fix = format!("shorten it to at most {METADATA_MAX} bytes");
        return Err(FieldError::invalid("metadata", format!("has {length} bytes of JSON"), fix));
    }
    Ok(Some(value))
}
