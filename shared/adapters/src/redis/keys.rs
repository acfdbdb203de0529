//! Names of keys. Everything of one batch carries the hash tag `{batch}` and so lies on one
//! node of a cluster; what is not of a batch has a tag of its own.

use packshot_pipeline::ids::BatchId;
use packshot_pipeline::pool::Pool;

/// Makes the names of one installation's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

/// Where in the index a slot stands: in one of these at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Ready,
    Dispatched,
    Leased,
}

impl Place {
    pub(super) const ALL: [Place; 3] = [Place::Ready, Place::Dispatched, Place::Leased];

    fn word(self) -> &'static str {
        match self {
            Place::Ready => "ready",
            Place::Dispatched => "dispatched",
            Place::Leased => "leased",
        }
    }
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The store's life.
    pub(super) fn incarnation(&self) -> String {
        format!("{}:{{/incarnation}}", self.prefix)
    }

    /// The open batches.
    pub(super) fn batches(&self) -> String {
        format!("{}:{{/batches}}", self.prefix)
    }

    /// The channel of hints.
    pub(super) fn hints(&self) -> String {
        format!("{}:hints", self.prefix)
    }

    fn of(&self, batch: &BatchId, what: &str) -> String {
        format!("{}:{{{batch}}}:{what}", self.prefix)
    }

    /// The life in which the batch's documents were made.
    pub(super) fn life(&self, batch: &BatchId) -> String {
        self.of(batch, "life")
    }

    /// Version and document, by SKU.
    pub(super) fn documents(&self, batch: &BatchId) -> String {
        self.of(batch, "documents")
    }

    /// The SKUs that have a document.
    pub(super) fn skus(&self, batch: &BatchId) -> String {
        self.of(batch, "skus")
    }

    /// Totals by name.
    pub(super) fn tally(&self, batch: &BatchId) -> String {
        self.of(batch, "tally")
    }

    /// What happened last.
    pub(super) fn news(&self, batch: &BatchId) -> String {
        self.of(batch, "news")
    }

    /// Slots by time.
    pub(super) fn index(&self, batch: &BatchId, place: Place, pool: Pool) -> String {
        self.of(batch, &format!("{}:{pool}", place.word()))
    }

    /// Every key of the batch, its life first, the ledger's not among them.
    pub(super) fn all(&self, batch: &BatchId) -> Vec<String> {
        let index =
            Pool::ALL.into_iter().flat_map(|pool| Place::ALL.map(|place| self.index(batch, place, pool)));
        let others = [Self::life, Self::documents, Self::skus, Self::tally, Self::news];
        others.map(|key| key(self, batch)).into_iter().chain(index).collect()
    }

    /// The ledger's keys: totals, amounts, times, settled.
    pub(super) fn ledger(&self, batch: &BatchId) -> [String; 4] {
        ["ledger:totals", "ledger:amounts", "ledger:times", "ledger:settled"].map(|what| self.of(batch, what))
    }

    /// A limit's keys: places and state.
    pub(super) fn limit(&self, key: &str) -> [String; 2] {
        let tag = tag(key);
        ["places", "state"].map(|what| format!("{}:{{/limit/{tag}}}:{what}", self.prefix))
    }
}

/// `text` as part of a hash tag: everything but letters, digits and `-_./:` is escaped.
fn tag(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(byte);
    let written = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(written).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// What Redis Cluster hashes of a key.
    fn hashed(key: &str) -> &str {
        let from = key.find('{').unwrap() + 1;
        &key[from..from + key[from..].find('}').unwrap()]
    }

    #[test]
    fn all_keys_of_a_batch_carry_its_tag_and_no_others_do() {
        let keys = Keys::new("packshot");
        let batch = BatchId::new("spring-2026").unwrap();
        let mut all = keys.all(&batch);
        all.extend(keys.ledger(&batch));
        assert_eq!(all.len(), 5 + 12 + 4);
        assert!(all.iter().all(|key| hashed(key) == "spring-2026"), "{all:?}");
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        let [places, state] = keys.limit("a{b}/ü");
        assert_eq!(hashed(&places), "/limit/a%7Bb%7D/%C3%BC");
        assert_eq!(hashed(&places), hashed(&state));
        assert_eq!(hashed(&keys.incarnation()), "/incarnation");
    }
}
