//! What became of the publishes of one round: confirmations and returns put together.
//!
//! The client hands a returned message to whichever confirmation completes next, often that
//! of another publish. So a confirmation says nothing by itself. A *round* is a set of
//! publishes on a channel with no other publish outstanding; the server sends a return before
//! the confirmation of the same message, so:
//!
//! - in a round whose confirmations all came, every return has been handed out: who is not
//!   among the returned was routed;
//! - in a round that broke, a confirmation without any returned message says that none was
//!   waiting when it completed, so its own, had there been one, was handed out before; one
//!   with somebody else's message may have left its own behind, so its outcome is not known.

use std::collections::BTreeSet;

use lapin::{BasicProperties, Confirmation};
use packshot_runtime::port::{BrokerError, BrokerFault};

use super::fault::plain;
use super::form::Post;

/// What tells messages apart: exchange, routing key, message id. Two with the same have the
/// same route.
pub(super) type Key = (String, String, String);

/// What came for one publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Confirmed, with no returned message.
    Clean,
    /// Confirmed, with a returned message, this one's or another's.
    WithReturn,
    /// The server did not take it (a full queue).
    Nacked,
    /// Nothing.
    Nothing,
}

/// The answers of a round and the messages that were returned in it.
#[derive(Debug, Default)]
pub(super) struct Round {
    answers: Vec<Answer>,
    returned: BTreeSet<Key>,
}

/// The key of a message.
pub(super) fn key(exchange: &str, routing_key: &str, properties: &BasicProperties) -> Key {
    let id = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    (exchange.to_owned(), routing_key.to_owned(), id)
}

impl Round {
    /// A round of `count` publishes.
    pub(super) fn new(count: usize) -> Self {
        Self { answers: vec![Answer::Nothing; count], returned: BTreeSet::new() }
    }

    /// The confirmation of the publish at `index` came.
    pub(super) fn came(&mut self, index: usize, confirmation: Confirmation) {
        let (answer, returned) = match confirmation {
            Confirmation::Ack(None) => (Answer::Clean, None),
            Confirmation::Ack(Some(returned)) => (Answer::WithReturn, Some(returned)),
            Confirmation::Nack(returned) => (Answer::Nacked, returned),
            Confirmation::NotRequested => (Answer::Nothing, None),
        };
        if let Some(slot) = self.answers.get_mut(index) {
            *slot = answer;
        }
        if let Some(returned) = returned {
            let message = &returned.delivery;
            let key = key(message.exchange.as_str(), message.routing_key.as_str(), &message.properties);
            self.returned.insert(key);
        }
    }

    /// Whether every confirmation came.
    pub(super) fn is_complete(&self) -> bool {
        !self.answers.contains(&Answer::Nothing)
    }

    /// Whether anything was returned.
    pub(super) fn has_returns(&self) -> bool {
        !self.returned.is_empty()
    }

    /// The outcome of each publish, in order; `why` is what broke an incomplete round.
    pub(super) fn outcomes(&self, posts: &[Post], why: &str) -> Vec<Result<(), BrokerError>> {
        let complete = self.is_complete();
        let each = posts.iter().zip(&self.answers);
        each.map(|(post, answer)| {
            let key = key(post.exchange.as_str(), post.routing_key.as_str(), &post.properties);
            if self.returned.contains(&key) {
                let what = format!("no queue takes key {} of exchange {}", post.routing_key, post.exchange);
                return Err(plain(BrokerFault::Unroutable, what));
            }
            match answer {
                Answer::Clean => Ok(()),
                Answer::WithReturn if complete => Ok(()),
                Answer::WithReturn | Answer::Nothing => {
                    let what = format!("publishing to exchange {}: not confirmed, {why}", post.exchange);
                    Err(plain(BrokerFault::Unconfirmed, what))
                }
                Answer::Nacked => {
                    let what = format!(
                        "the queue of key {} of exchange {} is full or failed to store the message",
                        post.routing_key, post.exchange
                    );
                    Err(plain(BrokerFault::Unavailable, what))
                }
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn post(id: &str) -> Post {
        let properties = BasicProperties::default().with_message_id(id.into());
        Post { exchange: "e".into(), routing_key: "k".into(), properties, body: Bytes::new() }
    }

    /// `answers` as letters: c clean, r with a return, n nacked, - nothing; `returned` the
    /// ids. Outcomes: o ok, u unroutable, ? unconfirmed, x unavailable.
    fn check(ids: &[&str], answers: &str, returned: &[&str], expected: &str) {
        let letter = |letter| match letter {
            'c' => Answer::Clean,
            'r' => Answer::WithReturn,
            'n' => Answer::Nacked,
            _ => Answer::Nothing,
        };
        let key = |id: &&str| ("e".to_owned(), "k".to_owned(), (*id).to_owned());
        let round = Round {
            answers: answers.chars().map(letter).collect(),
            returned: returned.iter().map(key).collect(),
        };
        let posts: Vec<Post> = ids.iter().map(|id| post(id)).collect();
        let outcomes = round.outcomes(&posts, "test");
        let letters: String = outcomes
            .iter()
            .map(|outcome| match outcome.as_ref().map_err(|error| error.kind) {
                Ok(()) => 'o',
                Err(BrokerFault::Unroutable) => 'u',
                Err(BrokerFault::Unconfirmed) => '?',
                Err(BrokerFault::Unavailable | BrokerFault::Refused) => 'x',
            })
            .collect();
        assert_eq!(letters, expected, "{ids:?} {answers} {returned:?}");
    }

    #[test]
    fn the_right_message_is_blamed() {
        check(&["a", "b", "c"], "ccc", &[], "ooo");
        // The return of b was handed to a's confirmation.
        check(&["a", "b", "c"], "rcc", &["b"], "ouo");
        check(&["a", "b", "c"], "crr", &["a", "b"], "uuo");
        check(&["a", "a"], "rc", &["a"], "uu");
        check(&["a", "b"], "nc", &[], "xo");
    }

    #[test]
    fn a_broken_round_believes_only_what_is_sure() {
        // b was confirmed with a's return in hand: its own may still wait.
        check(&["a", "b", "c"], "-r-", &["a"], "u??");
        check(&["a", "b", "c"], "-rc", &["a"], "u?o");
        check(&["a", "b"], "--", &[], "??");
    }
}
