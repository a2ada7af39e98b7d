//! What the engine asked of a client and waits for. The client knows each by a number of ours that never comes again: every engine
//! counts its own from zero, and a client must see no id twice. Pure.

use std::collections::BTreeMap;

use rmcp::model::RequestId;

/// Questions that may be open at once; beyond it the oldest is nobody's any more.
const OPEN_MAX: usize = 128;

/// The engine's ids by our numbers.
#[derive(Default)]
pub(super) struct Asked {
    open: BTreeMap<i64, RequestId>,
    last: i64,
}

impl Asked {
    /// Notes a question, and gives what it is to the client.
    pub(super) fn begin(&mut self, engines: RequestId) -> RequestId {
        self.last += 1;
        self.open.insert(self.last, engines);
        if self.open.len() > OPEN_MAX {
            self.open.pop_first();
        }
        RequestId::Number(self.last)
    }

    /// Ends a question with its answer; gives the engine's id of it, or none for an answer to nothing.
    pub(super) fn end(&mut self, clients: &RequestId) -> Option<RequestId> {
        let RequestId::Number(number) = clients else { return None };
        self.open.remove(number)
    }

    /// Takes a question back; gives the client's id of it.
    pub(super) fn withdraw(&mut self, engines: &RequestId) -> Option<RequestId> {
        let number = self.open.iter().find(|(_, open)| *open == engines).map(|(number, _)| *number)?;
        self.open.remove(&number);
        Some(RequestId::Number(number))
    }

    /// Forgets them all: who asked has ended.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines(number: i64) -> RequestId {
        RequestId::Number(number)
    }

    #[test]
    fn a_question_is_answered_once_and_only_under_our_number() {
        let mut asked = Asked::default();
        let (first, second) = (asked.begin(engines(0)), asked.begin(engines(1)));
        assert_ne!(first, second);
        assert_eq!(asked.end(&RequestId::String("1".into())), None);
        assert_eq!(asked.end(&RequestId::Number(77)), None);
        assert_eq!(asked.end(&second), Some(engines(1)));
        assert_eq!(asked.end(&second), None, "a second answer is nobody's");
        assert_eq!(asked.withdraw(&engines(0)), Some(first.clone()));
        assert_eq!(asked.end(&first), None, "it was taken back");
        asked.clear();
        let third = asked.begin(engines(0));
        assert!(third != first && third != second, "another engine, another number");
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut asked = Asked::default();
        let first = asked.begin(engines(0));
        for number in 1..=OPEN_MAX {
            asked.begin(engines(i64::try_from(number).unwrap()));
        }
        assert_eq!(asked.open.len(), OPEN_MAX);
        assert_eq!(asked.end(&first), None);
    }
}
