//! XML as a small tree, read and written with quick-xml: no XML is ever put together from strings, so no name or key
//! can become markup.

use cirro_node_agent_core::failure::{Failure, OrSay, Result};
use quick_xml::{
    Reader, Writer, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesEnd, BytesStart, BytesText, Event},
};

/// The deepest nesting that is read; libvirt's own stays below 15.
const MAX_DEPTH: usize = 64;

/// An element with its attributes, its children in order, and its text (comments and mixed content are not kept).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// With its prefix, if it has one.
    pub name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

#[allow(clippy::needless_pass_by_value, reason = "values are written where they are made: `with(\"delay\", 0)`")]
impl Element {
    /// An empty element.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
    /// With one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }
    /// With a text.
    #[must_use]
    pub fn text(mut self, text: impl ToString) -> Self {
        self.text = text.to_string();
        self
    }
    /// With one more child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }
    /// With more children.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }
    /// With this child in place of the first of its name, or added.
    #[must_use]
    pub fn having(mut self, child: Self) -> Self {
        match self.children.iter_mut().find(|known| known.local_name() == child.local_name()) {
            Some(known) => *known = child,
            None => self.children.push(child),
        }
        self
    }
    /// With each child of this name changed.
    #[must_use]
    pub fn with_each(mut self, name: &str, change: impl Fn(Self) -> Self) -> Self {
        let changed = |child: Self| if child.local_name() == name { change(child) } else { child };
        self.children = self.children.into_iter().map(changed).collect();
        self
    }

    /// An attribute's value.
    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }
    /// The text inside.
    pub fn inner_text(&self) -> &str {
        self.text.trim()
    }
    /// The children of this name; a prefix does not matter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.local_name() == name)
    }
    /// The first element at the end of this way of names.
    pub fn find(&self, way: &[&str]) -> Option<&Self> {
        match way {
            [] => Some(self),
            [name, rest @ ..] => self.children.iter().filter(|c| c.local_name() == *name).find_map(|c| c.find(rest)),
        }
    }
    fn local_name(&self) -> &str {
        self.name.rsplit(':').next().unwrap_or(&self.name)
    }

    /// Reads a document.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event().or_say(|| "libvirt's XML can't be read")?;
            match event {
                Event::Start(start) => open.push(begun(&start)?),
                Event::Empty(start) => add(&mut open, begun(&start)?)?,
                Event::End(_) => {
                    let done = open.pop().ok_or_else(unbalanced)?;
                    add(&mut open, done)?;
                }
                Event::Text(text) => append(&mut open, &text.xml10_content()),
                Event::CData(text) => append(&mut open, &text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let known = match reference.resolve_char_ref() {
                        Ok(Some(c)) => Some(c.to_string()),
                        _ => resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned),
                    };
                    append(&mut open, &known.unwrap_or_default());
                }
                Event::Eof => break,
                _ => {}
            }
            if open.len() > MAX_DEPTH {
                return Err(Failure::new("libvirt's XML is nested too deeply to be read"));
            }
        }
        open.pop().and_then(|document| document.children.into_iter().next()).ok_or_else(unbalanced)
    }

    /// Writes the document.
    pub fn write(&self) -> Result<String> {
        let mut writer = Writer::new(Vec::new());
        self.write_to(&mut writer).or_say(|| "XML for libvirt can't be written")?;
        String::from_utf8(writer.into_inner()).or_say(|| "XML for libvirt can't be written")
    }

    fn write_to(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let attributes = self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let start = BytesStart::new(self.name.as_str()).with_attributes(attributes);
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        writer.write_event(Event::Text(BytesText::new(&self.text)))?;
        for child in &self.children {
            child.write_to(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name.as_str())))
    }
}

fn begun(start: &BytesStart<'_>) -> Result<Element> {
    let mut element = Element::new(start.name().as_ref());
    for attribute in start.attributes() {
        let attribute = attribute.or_say(|| "libvirt's XML can't be read")?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).or_say(|| "libvirt's XML can't be read")?;
        element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn add(open: &mut [Element], done: Element) -> Result<()> {
    open.last_mut().ok_or_else(unbalanced)?.children.push(done);
    Ok(())
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn unbalanced() -> Failure {
    Failure::new("libvirt's XML ends too early")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::Element;

    #[test]
    fn what_is_written_is_read_again() {
        let nasty = "a'b\"c<d>&e\u{e9}\n";
        let written = Element::new("domain")
            .with("type", nasty)
            .child(Element::new("name").text("x</name>&amp;"))
            .child(Element::new("c:mark").with("xmlns:c", "urn:x").child(Element::new("c:done")));
        let read = Element::parse(&written.write().unwrap()).unwrap();
        assert_eq!(read.get("type").map(|value| value.replace(' ', "\n")).as_deref(), Some(nasty));
        assert_eq!(read.find(&["name"]).map(Element::inner_text), Some("x</name>&amp;"));
        assert!(read.find(&["mark", "done"]).is_some());
    }

    #[test]
    fn broken_documents_are_refused() {
        for text in ["", "<a>", "<a", "</a>", "<a b=c/>", &"<a>".repeat(1000)] {
            assert!(Element::parse(text).is_err(), "{text:.20}");
        }
    }
}
