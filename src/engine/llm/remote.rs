//! A chat model in an executable of its own.

use crate::engine::{
    ChatMessage, Completion, Delta, EngineError, Llm, StreamId, ToolSpec,
    process::{
        EngineProcess, Program,
        message::{Kind, LlmRequest, Stepped, Warmth},
    },
};

pub struct RemoteLlm {
    process: EngineProcess,
    warming: bool,
}

impl RemoteLlm {
    pub fn spawn(program: &Program) -> Result<Self, EngineError> {
        Ok(RemoteLlm { process: EngineProcess::spawn(program, Kind::Llm)?, warming: false })
    }

    pub fn process(&self) -> &EngineProcess {
        &self.process
    }
}

impl Llm for RemoteLlm {
    fn check(&mut self) -> Result<(), EngineError> {
        self.process.check()
    }

    fn warm(
        &mut self,
        stream: StreamId,
        messages: &[ChatMessage],
        tools: &[ToolSpec],
    ) -> Result<(), EngineError> {
        let request = LlmRequest::Warm { stream, messages: messages.to_vec(), tools: tools.to_vec() };
        let (warmth, _) = self.process.call::<Option<Warmth>>(&request, &[])?;
        self.warming = warmth.is_some_and(|warmth| warmth.warming);
        Ok(())
    }

    fn start(&mut self, stream: StreamId, request: &Completion) -> Result<(), EngineError> {
        self.process.call(&LlmRequest::Start { stream, request: request.clone() }, &[]).map(|(ok, _)| ok)
    }

    fn step(&mut self) -> Result<Vec<(StreamId, Delta)>, EngineError> {
        let (stepped, _) = self.process.call::<Stepped>(&LlmRequest::Step, &[])?;
        self.warming = stepped.warming;
        Ok(stepped.deltas)
    }

    fn warming(&self) -> bool {
        self.warming
    }

    fn cancel(&mut self, stream: StreamId) {
        // A dead process has stopped already, and the next request says that it is dead.
        let _ = self.process.call::<()>(&LlmRequest::Cancel { stream }, &[]);
    }

    fn forget(&mut self, stream: StreamId) {
        // As in `cancel`.
        let _ = self.process.call::<()>(&LlmRequest::Forget { stream }, &[]);
    }
}
