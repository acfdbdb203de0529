//! The report's page without its data: markup, style and script, and the policy that lets
//! nothing else run in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(include_str!("page.js"), "\n", include_str!("viewer.js"));
const MARKUP: &str = include_str!("page.html");

/// The page up to where the data blocks go.
pub(crate) fn head() -> String {
    let (top, _) = parts();
    // Only the shipped style and script run, by their digests; nothing is loaded but
    // pictures that are embedded or lie beside the page.
    let policy = format!(
        "default-src 'none'; img-src data: file: 'self'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    top.replace("{{policy}}", &policy).replace("{{style}}", STYLE)
}

/// The page from the last data block on.
pub(crate) fn tail() -> String {
    let (_, bottom) = parts();
    bottom.replace("{{script}}", SCRIPT)
}

fn parts() -> (&'static str, &'static str) {
    MARKUP.split_once("{{data}}").unwrap_or((MARKUP, ""))
}

fn digest(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest.as_ref()))
}

/// `bytes` of a JPEG as an address that needs no file.
pub(crate) fn data_address(bytes: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes))
}
