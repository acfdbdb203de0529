//! The catalog file as bytes: what encoding and format it has, decided by its content,
//! and a reader of it as UTF-8 that holds one chunk at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::CatalogError;

/// Bytes read at a time, and looked at to tell text from binary.
const CHUNK_BYTES: usize = 64 * 1024;
const HEAD_BYTES: usize = 8 * 1024;

/// How the rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Cells between delimiters: `,`, `;`, tab or `|`.
    Delimited(u8),
    /// One JSON object a line.
    JsonLines,
    /// A JSON array, an object holding the array of products, or objects one after another.
    Json,
}

/// A catalog file whose encoding and format are known.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    encoding: &'static Encoding,
    pub(crate) format: Format,
}

impl Source {
    /// Looks at the whole file once, in constant memory, and decides.
    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        let unreadable = |source| CatalogError::Unreadable { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(CatalogError::NotAFile { path: path.to_owned() });
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
        if let Some(what) = binary_kind(&head) {
            return Err(CatalogError::NotText { path: path.to_owned(), what });
        }
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let encoding = match declared_encoding(&head) {
            Some(encoding) => encoding,
            None => guess_encoding(&mut file).map_err(unreadable)?,
        };
        let mut source = Self { path: path.to_owned(), encoding, format: Format::Json };
        let mut text = Vec::new();
        source.reader().and_then(|r| r.take(256 * 1024).read_to_end(&mut text)).map_err(unreadable)?;
        let Some(first) = text.iter().find(|b| !b.is_ascii_whitespace()) else {
            return Err(CatalogError::Empty { path: path.to_owned() });
        };
        source.format = decide_format(path, *first, &text);
        Ok(source)
    }

    /// A new reader from the beginning, as UTF-8 without a byte order mark; what cannot be
    /// decoded becomes U+FFFD.
    pub(crate) fn reader(&self) -> io::Result<Utf8Reader> {
        Ok(Utf8Reader {
            file: File::open(&self.path)?,
            decoder: self.encoding.new_decoder_with_bom_removal(),
            raw: vec![0; CHUNK_BYTES],
            raw_from: 0,
            raw_to: 0,
            text: Vec::with_capacity(CHUNK_BYTES * 3),
            text_from: 0,
            ended: false,
        })
    }

    /// "CSV", "semicolon-separated text, windows-1252", ...
    pub(crate) fn describe(&self) -> String {
        let format = match self.format {
            Format::Delimited(b',') => "CSV",
            Format::Delimited(b';') => "semicolon-separated CSV",
            Format::Delimited(b'\t') => "TSV",
            Format::Delimited(_) => "text separated by |",
            Format::JsonLines => "JSON Lines",
            Format::Json => "JSON",
        };
        format!("{format}, {}", self.encoding.name())
    }
}

/// Names a well-known binary format, or says "binary data".
fn binary_kind(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "an Excel workbook or a zip archive"),
        (b"\xD0\xCF\x11\xE0", "an old Excel workbook"),
        (b"%PDF", "a PDF"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x28\xB5\x2F\xFD", "a zstd archive"),
        (b"\xFF\xD8\xFF", "a JPEG image"),
        (b"\x89PNG", "a PNG image"),
        (b"RIFF", "a WebP image"),
        (b"<?xml", "XML"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    if declared_encoding(head).is_some() {
        return None;
    }
    let control = head.iter().filter(|b| **b < 0x20 && !matches!(**b, b'\t' | b'\r' | b'\n')).count();
    (head.len() >= 32 && control * 5 > head.len()).then_some("binary data")
}

/// The encoding that a byte order mark states, or that UTF-16's zero bytes give away.
fn declared_encoding(head: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return Some(encoding);
    }
    let pairs = head.len() / 2;
    if pairs < 4 {
        return None;
    }
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if odd * 10 > pairs * 7 && even * 10 < pairs {
        return Some(UTF_16LE);
    }
    if even * 10 > pairs * 7 && odd * 10 < pairs {
        return Some(UTF_16BE);
    }
    None
}

/// UTF-8 when every byte is, or when broken bytes are rarer than proper multi-byte
/// characters (one torn cell must not turn the whole catalog into mojibake); else
/// Windows-1252, in which every byte means something.
fn guess_encoding(file: &mut File) -> io::Result<&'static Encoding> {
    let (mut broken, mut multibyte) = (0_u64, 0_u64);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut carried = 0;
    loop {
        let read = file.read(chunk.get_mut(carried..).unwrap_or_default())?;
        let filled = carried + read;
        let mut rest = &chunk[..filled];
        carried = 0;
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    multibyte += text.bytes().filter(|b| *b >= 0xC0).count() as u64;
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    multibyte += good.iter().filter(|b| **b >= 0xC0).count() as u64;
                    if let Some(length) = error.error_len() {
                        broken += 1;
                        rest = &bad[length..];
                    } else {
                        // A character cut by the chunk's end; at the file's end it is broken.
                        carried = bad.len();
                        break;
                    }
                }
            }
        }
        if read == 0 {
            broken += u64::from(carried > 0);
            break;
        }
        chunk.copy_within(filled - carried..filled, 0);
    }
    Ok(if broken == 0 || broken * 4 < multibyte { UTF_8 } else { WINDOWS_1252 })
}

fn decide_format(path: &Path, first: u8, text: &[u8]) -> Format {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if first == b'[' && !matches!(extension.as_str(), "csv" | "tsv" | "txt") {
        return Format::Json;
    }
    if first == b'{' {
        if matches!(extension.as_str(), "jsonl" | "ndjson") {
            return Format::JsonLines;
        }
        // Lines that each are an object: JSON Lines, whatever the name says.
        let mut lines = text.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let is_object = |line: &[u8]| {
            line.trim_ascii().starts_with(b"{")
                && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
        };
        let several =
            lines.next().is_some_and(is_object) && lines.next().is_some_and(|l| l.starts_with(b"{"));
        return if several { Format::JsonLines } else { Format::Json };
    }
    Format::Delimited(guess_delimiter(&extension, text))
}

/// The delimiter that the header line has most of, outside quotes; Excel's `sep=;` line
/// decides at once.
fn guess_delimiter(extension: &str, text: &[u8]) -> u8 {
    let text = text.trim_ascii_start();
    if let Some(stated) = text.strip_prefix(b"sep=").and_then(|rest| rest.first())
        && matches!(stated, b',' | b';' | b'\t' | b'|')
    {
        return *stated;
    }
    let usual = if matches!(extension, "tsv" | "tab") { b'\t' } else { b',' };
    let mut counts = [(usual, 0_usize), (b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            other if !quoted => {
                for (delimiter, count) in &mut counts {
                    *count += usize::from(delimiter == other);
                }
            }
            _ => {}
        }
    }
    // `max_by_key` prefers the last of equals: reversed, the usual one wins a draw.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(usual, |(delimiter, _)| *delimiter)
}

/// Reads a file as UTF-8, whatever it is encoded in.
#[derive(Debug)]
pub(crate) struct Utf8Reader {
    file: File,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_from: usize,
    raw_to: usize,
    text: Vec<u8>,
    text_from: usize,
    ended: bool,
}

impl Utf8Reader {
    fn refill(&mut self) -> io::Result<()> {
        self.text_from = 0;
        self.text.clear();
        while self.text.is_empty() && !self.ended {
            if self.raw_from == self.raw_to {
                self.raw_from = 0;
                self.raw_to = self.file.read(&mut self.raw)?;
            }
            let last = self.raw_to == 0;
            self.text.resize(CHUNK_BYTES * 3 + 16, 0);
            let raw = &self.raw[self.raw_from..self.raw_to];
            let (result, read, written, _) = self.decoder.decode_to_utf8(raw, &mut self.text, last);
            self.text.truncate(written);
            self.raw_from += read;
            self.ended = last && result == encoding_rs::CoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl Read for Utf8Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.text_from == self.text.len() {
            self.refill()?;
        }
        let ready = &self.text[self.text_from..];
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.text_from += count;
        Ok(count)
    }
}

/// The part of the text that the row in hand needs: grows while a row is read, and
/// shrinks when it is done.
#[derive(Debug)]
pub(crate) struct Window {
    reader: Utf8Reader,
    bytes: Vec<u8>,
    from: usize,
    ended: bool,
}

impl Window {
    pub(crate) fn new(reader: Utf8Reader) -> Self {
        Self { reader, bytes: Vec::new(), from: 0, ended: false }
    }

    /// The byte `at` bytes after the consumed ones; `None` past the end.
    pub(crate) fn byte(&mut self, at: usize) -> io::Result<Option<u8>> {
        loop {
            if let Some(byte) = self.bytes.get(self.from + at) {
                return Ok(Some(*byte));
            }
            if self.ended {
                return Ok(None);
            }
            self.bytes.drain(..self.from);
            self.from = 0;
            let filled = self.bytes.len();
            self.bytes.resize(filled + CHUNK_BYTES, 0);
            let read = self.reader.read(&mut self.bytes[filled..])?;
            self.bytes.truncate(filled + read);
            self.ended = read == 0;
        }
    }

    /// The first `count` bytes, all of which have been seen by [`Window::byte`].
    pub(crate) fn seen(&self, count: usize) -> &[u8] {
        let end = (self.from + count).min(self.bytes.len());
        &self.bytes[self.from..end]
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.bytes.len());
        if self.from == self.bytes.len() {
            self.bytes.clear();
            self.from = 0;
            // One giant row must not keep its memory for the rest of the catalog.
            self.bytes.shrink_to(CHUNK_BYTES * 16);
        }
    }
}
