//! Messages as AMQP carries them: properties and headers, both ways.

use std::collections::BTreeMap;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use packshot_pipeline::pool::Pool;
use packshot_runtime::port::Message;

use super::topology::Names;

/// `app_id` of everything that is published here.
const APP: &str = "packshot";
/// AMQP's mark of a message that survives a restart.
const PERSISTENT: u8 = 2;
/// The header that says why a message is a dead letter.
const REASON: &str = "x-packshot-reason";
/// The longest reason kept, in characters.
const REASON_CHARS_MAX: usize = 1_000;
/// Headers that the server writes, or reads as orders, by how they begin; they are neither
/// handed on nor copied. A copied `x-death` could make the server take a second retry for a
/// loop and drop the message.
const SERVERS_OWN: [&str; 7] =
    ["x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-acquired-count", "cc", "bcc"];

/// One message on its way to an exchange.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// A text as a short one, cut where it is too long.
fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// A job message on its way to its pool.
pub(super) fn job(names: &Names, pool: Pool, message: &Message, headers: &BTreeMap<String, String>) -> Post {
    let properties = BasicProperties::default()
        .with_message_id(short(&message.id()))
        .with_correlation_id(short(&message.batch.to_string()))
        .with_type(short(&message.target.to_string()))
        .with_content_type("application/json".into())
        .with_app_id(APP.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(to_table(headers));
    Post { exchange: names.jobs(), routing_key: pool.word().into(), properties, body: message.to_bytes() }
}

/// What a copy of a delivery keeps of its properties. Not the rest: a foreign `expiration`
/// would let the copy vanish, a foreign `user_id` would close the channel.
fn copied(properties: &BasicProperties, headers: &BTreeMap<String, String>) -> BasicProperties {
    let mut copy = BasicProperties::default()
        .with_app_id(APP.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(to_table(headers));
    if let Some(id) = properties.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    if let Some(id) = properties.correlation_id() {
        copy = copy.with_correlation_id(id.clone());
    }
    if let Some(kind) = properties.kind() {
        copy = copy.with_type(kind.clone());
    }
    if let Some(kind) = properties.content_type() {
        copy = copy.with_content_type(kind.clone());
    }
    copy
}

/// What is needed to send a delivery on.
#[derive(Clone, Debug)]
pub(super) struct Original {
    pub(super) pool: Pool,
    pub(super) properties: BasicProperties,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

impl Original {
    /// A copy for a step of the retry ladder.
    pub(super) fn for_retry(&self, names: &Names, step: &str) -> Post {
        Post {
            exchange: names.delay(),
            routing_key: format!("{step}.{}", self.pool.word()).into(),
            properties: copied(&self.properties, &self.headers),
            body: self.body.clone(),
        }
    }

    /// A copy for the dead letters, with the reason.
    pub(super) fn for_the_dead(&self, names: &Names, reason: &str) -> Post {
        let mut headers = self.headers.clone();
        headers.insert(REASON.to_owned(), reason.chars().take(REASON_CHARS_MAX).collect());
        Post {
            exchange: names.dead(),
            routing_key: self.pool.word().into(),
            properties: copied(&self.properties, &headers),
            body: self.body.clone(),
        }
    }
}

/// Headers as AMQP long strings; names that AMQP cannot carry are left out.
pub(super) fn to_table(headers: &BTreeMap<String, String>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        if let (false, Ok(name)) = (is_servers_own(name), ShortString::try_new(name)) {
            table.insert(name, AMQPValue::LongString(value.as_str().into()));
        }
    }
    table
}

/// The headers that are texts.
#[allow(clippy::wildcard_enum_match_arm, reason = "the protocol has many kinds of values, two are texts")]
pub(super) fn from_table(table: Option<&FieldTable>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in table.into_iter().flatten() {
        let text = match value {
            AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            _ => None,
        };
        if let (Some(text), false) = (text, is_servers_own(name.as_str())) {
            headers.insert(name.to_string(), text);
        }
    }
    headers
}

fn is_servers_own(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SERVERS_OWN.into_iter().any(|own| if own.starts_with('x') { name.starts_with(own) } else { name == own })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use packshot_pipeline::ids::{BatchId, Sku};
    use packshot_pipeline::role::Role;
    use packshot_pipeline::state::Target;

    fn message() -> Message {
        Message {
            schema: Message::SCHEMA,
            batch: BatchId::new("spring").unwrap(),
            sku: Sku::new("A/1").unwrap(),
            target: Target::Role(Role::Main),
            number: 3,
        }
    }

    fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_job_says_what_it_is() {
        let names = Names::new("p");
        let post = job(&names, Pool::Studio, &message(), &headers(&[("traceparent", "00-ab")]));
        let properties = &post.properties;
        let texts = [properties.message_id(), properties.correlation_id(), properties.kind()];
        let texts = texts.map(|text| text.as_ref().unwrap().to_string());
        assert_eq!(texts, [message().id(), "spring".to_owned(), "main".to_owned()]);
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(from_table(properties.headers().as_ref()), headers(&[("traceparent", "00-ab")]));
        assert_eq!((post.exchange.as_str(), post.routing_key.as_str()), ("p.jobs", "studio"));
    }

    #[test]
    fn short_and_long_texts_are_read_and_the_servers_own_headers_are_not() {
        let mut table = FieldTable::default();
        table.insert("long".into(), AMQPValue::LongString("a".into()));
        table.insert("short".into(), AMQPValue::ShortString("b".into()));
        table.insert("number".into(), AMQPValue::LongInt(1));
        table.insert("no text".into(), AMQPValue::LongString(vec![0xff].into()));
        table.insert("x-first-death-queue".into(), AMQPValue::LongString("q".into()));
        table.insert("CC".into(), AMQPValue::LongString("everyone".into()));
        assert_eq!(from_table(Some(&table)), headers(&[("long", "a"), ("short", "b")]));
        assert_eq!(from_table(None), BTreeMap::new());
    }

    #[test]
    fn a_copy_keeps_what_names_it_and_drops_what_would_harm_it() {
        let received = BasicProperties::default()
            .with_message_id("m".into())
            .with_expiration("1".into())
            .with_user_id("somebody".into());
        let original = Original {
            pool: Pool::Remote,
            properties: received,
            headers: headers(&[("a", "b"), ("x-death", "old")]),
            body: Bytes::from_static(b"body"),
        };
        let names = Names::new("p");
        let post = original.for_the_dead(&names, &"no".repeat(1_000));
        assert_eq!(post.properties.message_id().as_ref().unwrap().as_str(), "m");
        assert!(post.properties.expiration().is_none() && post.properties.user_id().is_none());
        let kept = from_table(post.properties.headers().as_ref());
        assert_eq!(kept["a"], "b");
        assert_eq!(kept[REASON].len(), REASON_CHARS_MAX);
        assert!(!kept.contains_key("x-death"));
        let post = original.for_retry(&names, "2s");
        assert_eq!((post.exchange.as_str(), post.routing_key.as_str()), ("p.delay", "2s.remote"));
    }

    #[test]
    fn names_too_long_for_amqp_are_cut_or_left_out() {
        assert_eq!(short(&"ä".repeat(200)).as_str().len(), 254);
        assert!(to_table(&headers(&[(&"n".repeat(256), "v")])).inner().is_empty());
    }
}
