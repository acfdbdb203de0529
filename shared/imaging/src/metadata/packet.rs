//! The XMP packet itself: RDF/XML, written by hand because six properties need no library,
//! and read tolerantly because other programs write the same properties differently.

use super::{DigitalSourceType, Xmp};

const HEAD: &str = "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
    <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n \
    <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n  \
    <rdf:Description rdf:about=\"\"\n    \
    xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n    \
    xmlns:dc=\"http://purl.org/dc/elements/1.1/\"\n    \
    xmlns:photoshop=\"http://ns.adobe.com/photoshop/1.0/\"\n    \
    xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\">\n";
const TAIL: &str = "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>";

/// The packet as UTF-8 text.
pub(super) fn write(xmp: &Xmp) -> String {
    let mut lines = vec![HEAD.to_owned()];
    if let Some(kind) = xmp.source_type {
        lines.push(format!(
            "   <Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType>\n",
            kind.uri()
        ));
    }
    for (name, text) in [("xmp:CreatorTool", &xmp.creator_tool), ("photoshop:Credit", &xmp.credit)] {
        if !text.is_empty() {
            lines.push(format!("   <{name}>{}</{name}>\n", escape(text)));
        }
    }
    for (name, text) in [("dc:description", &xmp.description), ("dc:rights", &xmp.rights)] {
        if !text.is_empty() {
            lines.push(format!(
                "   <{name}><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt></{name}>\n",
                escape(text)
            ));
        }
    }
    lines.push(TAIL.to_owned());
    lines.concat()
}

/// Text that is safe inside an element: markup escaped, characters that XML forbids left
/// out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\t' | '\n' | '\r' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Finds the known properties, as elements or as attributes.
pub(super) fn read(packet: &str) -> Xmp {
    let text = |name: &str| property(packet, name).map(|t| unescape(&t)).unwrap_or_default();
    Xmp {
        source_type: DigitalSourceType::parse(&text("Iptc4xmpExt:DigitalSourceType")),
        creator_tool: text("xmp:CreatorTool"),
        description: text("dc:description"),
        credit: text("photoshop:Credit"),
        rights: text("dc:rights"),
    }
}

fn property(packet: &str, name: &str) -> Option<String> {
    if let Some(start) = packet.find(&format!("<{name}")) {
        let inside = &packet[start..];
        let end = inside.find(&format!("</{name}>")).unwrap_or(inside.len());
        let element = &inside[..end];
        // The innermost text: what follows the last opening tag before any closing tag.
        if let Some(resource) = attribute(element, "rdf:resource") {
            return Some(resource);
        }
        let body = &element[element.find('>')? + 1..];
        let body = body.find("<rdf:li").map_or(body, |at| {
            let item = &body[at..];
            let open = item.find('>').map_or(0, |i| i + 1);
            &item[open..]
        });
        return Some(body[..body.find('<').unwrap_or(body.len())].trim().to_owned());
    }
    attribute(packet, name)
}

fn attribute(text: &str, name: &str) -> Option<String> {
    let at = text.find(&format!("{name}="))? + name.len() + 1;
    let quote = text[at..].chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = &text[at + 1..];
    Some(value[..value.find(quote)?].to_owned())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn reads_what_others_write() {
        let attributes = "<rdf:Description xmp:CreatorTool='Other 9' \
            Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture\"/>";
        let read_attributes = read(attributes);
        assert_eq!(read_attributes.source_type, Some(DigitalSourceType::DigitalCapture));
        assert_eq!(read_attributes.creator_tool, "Other 9");
        let resource = "<Iptc4xmpExt:DigitalSourceType rdf:resource=\
            \"https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\"/>";
        assert_eq!(read(resource).source_type, Some(DigitalSourceType::TrainedAlgorithmicMedia));
    }

    #[test]
    fn broken_packets_give_nothing_and_do_not_panic() {
        for text in [
            "",
            "<",
            "<dc:description",
            "<dc:description>",
            "dc:description=",
            "xmp:CreatorTool=\"x",
            "<xmp:CreatorTool>é",
        ] {
            let _ = read(text);
        }
        let whole = write(&Xmp { description: "tea & mug <1>".into(), ..Xmp::default() });
        for end in (0..whole.len()).filter(|&i| whole.is_char_boundary(i)) {
            let _ = read(&whole[..end]);
        }
    }
}
