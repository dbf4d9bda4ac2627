//! Boxes: a length, four characters, a body (section 4.2).

/// The beginning of a box.
pub(super) struct Head {
    pub(super) kind: [u8; 4],
    /// Length of the beginning alone.
    pub(super) own: usize,
    /// Length of the whole box.
    pub(super) length: usize,
}

/// The head of the box that `bytes` begin with; `None` if it is not whole, or that of a box without an end.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let (size, kind) = (number(bytes, 0)?, *bytes.get(4..)?.first_chunk()?);
    let (own, length) = match size {
        1 => (16, usize::try_from(u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?)).ok()?),
        size => (8, usize::try_from(size).ok()?),
    };
    (length >= own).then_some(Head { kind, own, length })
}

/// The boxes of a body: kinds and bodies. What follows the last whole one is skipped.
pub(super) struct Boxes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = head(self.0)?;
        let (whole, rest) = self.0.split_at_checked(head.length)?;
        self.0 = rest;
        Some((whole.get(4..)?.first_chunk()?, whole.get(head.own..)?))
    }
}

/// The bodies of all boxes of this kind.
pub(super) fn all<'a>(bytes: &'a [u8], kind: &'static [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    Boxes(bytes).filter(move |(found, _)| *found == kind).map(|(_, body)| body)
}

/// The body of the first box of this kind.
pub(super) fn find<'a>(bytes: &'a [u8], kind: &'static [u8; 4]) -> Option<&'a [u8]> {
    all(bytes, kind).next()
}

/// Four bytes as a number.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
