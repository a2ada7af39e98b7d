//! The order in which an answer becomes SSE payloads, one at a time, so that an endless answer takes no memory.

use crate::answer::Answer;
use crate::text;
use crate::wire::{self, Event};

/// One `data:` line.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) text: String,
    /// A pause belongs in front of it.
    pub(crate) paced: bool,
    /// Nothing follows: once it is out, the answer is complete.
    pub(crate) last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Role,
    Think(u32),
    ThinkEnd,
    Huge,
    Text(usize),
    Call(usize),
    Finish,
    Usage,
    Done,
    End,
}

pub(crate) struct Feed<'a> {
    answer: &'a Answer,
    phase: Phase,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(answer: &'a Answer) -> Feed<'a> {
        Feed { answer, phase: Phase::Role }
    }

    /// What this phase says, and the phase after it.
    fn step(&self) -> (Option<Event>, Phase) {
        let answer = self.answer;
        match self.phase {
            Phase::Role => (Some(Event::Role), Phase::Think(0)),
            Phase::Think(i) if i < answer.think => {
                (Some(Event::Think(text::thought(i))), Phase::Think(i + 1))
            }
            Phase::Think(0) => (None, Phase::Huge),
            Phase::Think(_) => (None, Phase::ThinkEnd),
            Phase::ThinkEnd => (Some(Event::ThinkEnd), Phase::Huge),
            Phase::Huge => (answer.huge.map(|bytes| Event::Text("x".repeat(bytes))), Phase::Text(0)),
            Phase::Text(i) if i < answer.text.len() || answer.endless => {
                (Some(Event::Text(answer.text.piece(i))), Phase::Text(i + 1))
            }
            Phase::Text(_) => (None, Phase::Call(0)),
            Phase::Call(i) if answer.call.as_ref().is_some_and(|call| i < wire::call_events(call)) => {
                (Some(Event::Call(i)), Phase::Call(i + 1))
            }
            Phase::Call(_) => (None, Phase::Finish),
            Phase::Finish => (Some(Event::Finish), Phase::Usage),
            Phase::Usage => (Some(Event::Usage), Phase::Done),
            Phase::Done | Phase::End => (None, Phase::End),
        }
    }

    /// Whether no chunk can follow the phase we are in.
    fn exhausted(&self) -> bool {
        let quiet = self.answer.no_done;
        match self.phase {
            Phase::End => true,
            Phase::Done => quiet,
            Phase::Usage => quiet && wire::chunk(self.answer, &Event::Usage).is_none(),
            Phase::Role
            | Phase::Think(_)
            | Phase::ThinkEnd
            | Phase::Huge
            | Phase::Text(_)
            | Phase::Call(_)
            | Phase::Finish => false,
        }
    }
}

impl Iterator for Feed<'_> {
    type Item = Payload;

    fn next(&mut self) -> Option<Payload> {
        loop {
            if self.exhausted() {
                return None;
            }
            if self.phase == Phase::Done {
                self.phase = Phase::End;
                return Some(Payload { text: "[DONE]".to_owned(), paced: false, last: true });
            }
            let (event, next) = self.step();
            self.phase = next;
            let Some(event) = event else { continue };
            let paced = matches!(event, Event::Think(_) | Event::Text(_) | Event::Call(_));
            if let Some(text) = wire::chunk(self.answer, &event) {
                return Some(Payload { text, paced, last: self.exhausted() });
            }
        }
    }
}
