//! Channel files: the ones that come with Packshot, and wrong ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use packshot_imaging::photo::Format;
use packshot_pipeline::role::Role;

use super::channel::{Channel, Ratio, White, all, is_date};

const SMALL: &str = r#"
    name = "shop"
    title = "Shop"
    [[slot]]
    name = "1"
    roles = ["main"]
    [[rule]]
    require.target = { longest = 1000, enlarge_to = 500 }
    source = "https://example.org/a"
    grade = "first-party"
    checked_on = "2026-11-23"
    [[rule]]
    require.bytes = { max = 1000000 }
    source = "https://example.org/a"
    grade = "first-party"
    checked_on = "2026-11-23"
    [[rule]]
    require.formats = { allowed = ["jpeg"], write = "jpeg" }
    source = "https://example.org/a"
    grade = "first-party"
    checked_on = "2026-11-23"
    [[rule]]
    require.file-name = { pattern = "{id}.{ext}", ids = ["sku"], chars_max = 80 }
    source = "https://example.org/a"
    grade = "first-party"
    checked_on = "2026-11-23"
"#;

#[test]
fn the_embedded_channels_parse_and_have_names_of_their_own() {
    let names: Vec<&str> = all().iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["amazon", "google", "shopify", "etsy", "walmart", "ebay"]);
    assert_eq!(Channel::by_name(" Amazon ").unwrap().title, "Amazon");
    assert!(Channel::by_name("bazaar").is_none());
}

#[test]
fn every_rule_has_a_source_and_a_date_and_every_slot_its_rules() {
    for channel in all() {
        assert!(!channel.rules.is_empty());
        for rule in &channel.rules {
            assert!(rule.source.starts_with("https://"), "{}: {rule:?}", channel.name);
            assert!(is_date(&rule.checked_on), "{}: {rule:?}", channel.name);
        }
        assert!(channel.slots.iter().any(|slot| slot.required), "{} requires nothing", channel.name);
        for slot in &channel.slots {
            let rules = channel.rules_of(slot).unwrap();
            assert!(rules.provenance.is_some(), "{} {} says nothing of provenance", channel.name, slot.name);
            assert!(slot.roles.iter().all(|role| channel.forbids(*role).is_none()));
        }
    }
}

#[test]
fn the_rules_that_matter_most_are_as_the_channels_say() {
    let rules = |channel: &str, slot: usize| {
        let channel = Channel::by_name(channel).unwrap();
        channel.rules_of(&channel.slots[slot]).unwrap()
    };
    assert_eq!(rules("amazon", 0).white, Some(White::Everywhere));
    assert!(rules("amazon", 0).fill.unwrap().min >= 0.85);
    assert_eq!(rules("amazon", 1).white, None);
    assert!(!rules("amazon", 0).formats.contains(&Format::Webp));
    assert!(rules("etsy", 0).real_photo && !rules("etsy", 4).real_photo);
    assert!(rules("google", 0).provenance.unwrap().generated_as.is_some());
    assert_eq!(rules("walmart", 3).ratio, Some(Ratio { width: 1, height: 1, firm: true }));
    assert!(Channel::by_name("ebay").unwrap().forbids(Role::Ad).is_some());
    assert!(!Channel::by_name("shopify").unwrap().takes(Role::Cleanup));
}

#[test]
fn wrong_channel_files_are_refused_with_the_reason() {
    assert!(Channel::parse(SMALL).is_ok());
    let table = [
        ("title = \"Shop\"", "title = \"Shop\"\ncolour = 1", "unknown field `colour`"),
        ("enlarge_to = 500", "enlarge_to = 500, zoom = 1", "unknown field `zoom`"),
        ("require.bytes", "require.weight", "unknown variant `weight`"),
        ("name = \"1\"", "name = \"a/b\"", "plain name"),
        ("name = \"shop\"", "name = \"../shop\"", "lower-case ASCII"),
        ("https://example.org/a", "somewhere", "https address"),
        ("2026-11-23", "last week", "YYYY-MM-DD"),
        ("2026-11-23", "2026-13-23", "YYYY-MM-DD"),
        ("enlarge_to = 500", "enlarge_to = 5000", "enlarge_to"),
        ("write = \"jpeg\"", "write = \"png\"", "one of allowed"),
        ("\"{id}.{ext}\"", "\"{id}/{ext}\"", "must end in .{ext}"),
        ("\"{id}.{ext}\"", "\"{id}-{colour}.{ext}\"", "the pattern knows"),
        ("ids = [\"sku\"]", "ids = [\"gtin\"]", "end with sku"),
        ("require.bytes = { max = 1000000 }", "require.no-border = {}", "needs rules of kind"),
        ("require.bytes", "slots = [\"2\"]\nrequire.bytes", "does not exist"),
        ("require.target", "require.ratio = { width = 0, height = 1, firm = true }", "TOML"),
    ];
    for (from, to, expected) in table {
        let text = SMALL.replacen(from, to, 1);
        let error = Channel::parse(&text).unwrap_err();
        let said = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(expected == "TOML" || said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn a_rule_twice_for_one_slot_is_refused() {
    let twice = format!(
        "{SMALL}\n[[rule]]\nslots = [\"1\"]\nrequire.bytes = {{ max = 5 }}\nsource = \"https://example.org/\"\n\
         grade = \"memory\"\nchecked_on = \"2026-11-23\"\n"
    );
    let error = Channel::parse(&twice).unwrap_err().to_string();
    assert_eq!(error, "channel shop: slot 1 has two rules of kind bytes");
}
