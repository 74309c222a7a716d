//! Heads: of each envelope, what its neighbours in the frame do not already say.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | flags: 1 closes stream, 2 has subject, 4 has writer signature, 8 control, 16 the stream's previous receipt is in this frame, 32 has links |
//! | 1 | media type |
//! | varint | name of the stream |
//! | varint | name of the kind |
//! | varint | class id |
//! | varint | `stream_seq`; absent for control receipts, whose `stream_seq` is their `control_seq` |
//! | varint or 32 | how many receipts back the stream's previous one is, with flag 16; else its leaf hash; absent for control receipts and for `stream_seq` 0 |
//! | 32 | commitment |
//! | 16 | subject, if flagged |
//! | 1 + 40 each | number of links, then index and leaf hash of each, if flagged |
//! | 68 | writer signature (key id, Ed25519 signature), if flagged |

use super::FrameStart;
use crate::error::FormatError;
use crate::varint;
use counterfoil_proof::{
    ClassId, Commitment, Envelope, Hash, KeyId, Kind, LINKS_MAX, LeafHash, LeafIndex, Link, Media, Principal, Reader,
    StreamName, StreamSeq, Subject, WriterSignature,
};

mod flag {
    pub(super) const CLOSES_STREAM: u8 = 1;
    pub(super) const SUBJECT: u8 = 2;
    pub(super) const WRITER_SIGNATURE: u8 = 4;
    pub(super) const CONTROL: u8 = 8;
    pub(super) const PREVIOUS_IN_FRAME: u8 = 16;
    pub(super) const LINKS: u8 = 32;
    pub(super) const ALL: u8 = 63;
}

/// Where the leaf hash of the stream's previous receipt is found.
#[derive(Clone, Copy, Debug)]
enum StreamPrev {
    None,
    InFrame { at: usize },
    Elsewhere(LeafHash),
}

/// One decoded head, with what the heads before it imply.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) stream: u16,
    pub(super) kind: u16,
    pub(super) writer: u16,
    control: bool,
    control_seq: StreamSeq,
    /// The last control receipt before this one, if it is in this frame.
    control_at: Option<usize>,
    pub(super) stream_seq: StreamSeq,
    stream_prev: StreamPrev,
    class: ClassId,
    media: Media,
    closes_stream: bool,
    digest: Hash,
    subject: Option<Subject>,
    links: Vec<Link>,
    writer_signature: Option<WriterSignature>,
}

/// Types of the names a head refers to.
pub(super) struct HeadNames {
    pub(super) stream: StreamName,
    pub(super) kind: Kind,
    pub(super) writer: Principal,
}

pub(super) fn encode(out: &mut Vec<u8>, envelope: &Envelope, names: [u16; 2], previous: Option<usize>) {
    let control = envelope.is_control();
    let mut flags = 0;
    for (set, bit) in [
        (envelope.closes_stream, flag::CLOSES_STREAM),
        (envelope.subject.is_some(), flag::SUBJECT),
        (envelope.writer_signature.is_some(), flag::WRITER_SIGNATURE),
        (control, flag::CONTROL),
        (!control && previous.is_some(), flag::PREVIOUS_IN_FRAME),
        (!envelope.links.is_empty(), flag::LINKS),
    ] {
        if set {
            flags |= bit;
        }
    }
    out.extend([flags, envelope.media.byte()]);
    varint::write(out, names[0].into());
    varint::write(out, names[1].into());
    varint::write(out, envelope.class.0.into());
    if !control {
        varint::write(out, envelope.stream_seq.0);
        match previous {
            Some(distance) => varint::write(out, distance as u64),
            None if envelope.stream_seq.0 > 0 => out.extend(envelope.stream_prev.0),
            None => {}
        }
    }
    out.extend(envelope.commitment.digest.0);
    if let Some(subject) = envelope.subject {
        out.extend(subject.0);
    }
    if !envelope.links.is_empty() {
        out.push(u8::try_from(envelope.links.len()).expect("at most 16 links"));
        for link in &envelope.links {
            out.extend(link.index.0.to_le_bytes());
            out.extend(link.leaf.0);
        }
    }
    if let Some(signature) = &envelope.writer_signature {
        out.extend(signature.key_id.0);
        out.extend(signature.bytes);
    }
}

/// Reads the heads of a frame one after another.
pub(super) struct HeadDecoder<'a> {
    input: Reader<'a>,
    at: usize,
    control_seq: StreamSeq,
    control_at: Option<usize>,
    /// Heads are compared with those before them.
    checked: bool,
    /// By name, the last receipt of that stream in this frame: its place, its `stream_seq`, whether it closes the stream.
    last: Vec<Option<(usize, StreamSeq, bool)>>,
}

impl<'a> HeadDecoder<'a> {
    pub(super) fn new(bytes: &'a [u8], start: &FrameStart) -> Self {
        let input = Reader::new(bytes);
        Self { input, at: 0, control_seq: start.control_seq, control_at: None, checked: true, last: Vec::new() }
    }

    pub(super) fn next(&mut self, writer: u16) -> Result<Head, FormatError> {
        let [flags, media] = self.input.array()?;
        if flags & !flag::ALL != 0 {
            return Err(FormatError::UnknownValue { field: "flags", found: flags.into() });
        }
        let media = Media::from_byte(media).ok_or(FormatError::UnknownValue { field: "media", found: media.into() })?;
        let stream = self.name()?;
        let kind = self.name()?;
        let class = varint::read(&mut self.input)?;
        let class = u32::try_from(class).map_err(|_| FormatError::UnknownValue { field: "class", found: class })?;
        let control = flags & flag::CONTROL != 0;
        if control && flags & flag::PREVIOUS_IN_FRAME != 0 {
            return Err(FormatError::NotCanonical { rule: "a control receipt never has flag 16" });
        }
        let closes_stream = flags & flag::CLOSES_STREAM != 0;
        let (stream_seq, stream_prev) =
            if control { (self.control_seq, StreamPrev::None) } else { self.position(stream, flags)? };
        let digest = Hash(self.input.array()?);
        let subject = if flags & flag::SUBJECT == 0 { None } else { Some(Subject(self.input.array()?)) };
        let links = if flags & flag::LINKS == 0 { Vec::new() } else { self.links()? };
        let writer_signature = if flags & flag::WRITER_SIGNATURE == 0 {
            None
        } else {
            Some(WriterSignature { key_id: KeyId(self.input.array()?), bytes: self.input.array()? })
        };
        let head = Head {
            stream,
            kind,
            writer,
            control,
            control_seq: self.control_seq,
            control_at: self.control_at,
            stream_seq,
            stream_prev,
            class: ClassId(class),
            media,
            closes_stream,
            digest,
            subject,
            links,
            writer_signature,
        };
        if control {
            self.control_seq = StreamSeq(self.control_seq.0.saturating_add(1));
            self.control_at = Some(self.at);
        }
        let name = usize::from(stream);
        if self.last.len() <= name {
            self.last.resize(name + 1, None);
        }
        self.last[name] = Some((self.at, stream_seq, closes_stream));
        self.at += 1;
        Ok(head)
    }

    /// Passes over heads without looking at more of them than their length, and reads the one at place `place`. What it
    /// says of earlier receipts is not checked.
    pub(super) fn skip_to(mut self, place: usize, writer: u16) -> Result<Head, FormatError> {
        while self.at < place {
            self.skip()?;
        }
        self.checked = false;
        self.next(writer)
    }

    fn skip(&mut self) -> Result<(), FormatError> {
        let [flags, _media] = self.input.array()?;
        for _name_or_class in 0..3 {
            varint::read(&mut self.input)?;
        }
        if flags & flag::CONTROL != 0 {
            self.control_seq = StreamSeq(self.control_seq.0.saturating_add(1));
            self.control_at = Some(self.at);
        } else {
            let seq = varint::read(&mut self.input)?;
            match flags & flag::PREVIOUS_IN_FRAME {
                0 if seq == 0 => {}
                0 => drop(self.input.bytes(Hash::LEN)?),
                _ => drop(varint::read(&mut self.input)?),
            }
        }
        self.input.bytes(Hash::LEN)?;
        if flags & flag::SUBJECT != 0 {
            self.input.bytes(16)?;
        }
        if flags & flag::LINKS != 0 {
            let count = usize::from(self.input.u8()?);
            self.input.bytes(count * 40)?;
        }
        if flags & flag::WRITER_SIGNATURE != 0 {
            self.input.bytes(68)?;
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), FormatError> {
        if self.input.is_empty() {
            Ok(())
        } else {
            Err(FormatError::NotCanonical { rule: "nothing follows the heads" })
        }
    }

    fn name(&mut self) -> Result<u16, FormatError> {
        let found = varint::read(&mut self.input)?;
        u16::try_from(found).map_err(|_| FormatError::UnknownValue { field: "name", found })
    }

    fn position(&mut self, stream: u16, flags: u8) -> Result<(StreamSeq, StreamPrev), FormatError> {
        let seq = StreamSeq(varint::read(&mut self.input)?);
        let in_frame = flags & flag::PREVIOUS_IN_FRAME != 0;
        if in_frame && !self.checked {
            let distance = usize::try_from(varint::read(&mut self.input)?).ok();
            let at = distance.filter(|back| *back > 0).and_then(|back| self.at.checked_sub(back));
            let at = at.ok_or(FormatError::NotCanonical { rule: "an earlier receipt of a frame is in the frame" })?;
            return Ok((seq, StreamPrev::InFrame { at }));
        }
        let prev = match (self.last.get(usize::from(stream)).copied().flatten(), in_frame) {
            (Some((at, last, closed)), true) => {
                let distance = varint::read(&mut self.input)?;
                if distance != (self.at - at) as u64 || last.0.checked_add(1) != Some(seq.0) || closed {
                    return Err(FormatError::NotCanonical {
                        rule: "receipts of a stream follow each other in a frame",
                    });
                }
                StreamPrev::InFrame { at }
            }
            (None, false) if seq.0 == 0 => StreamPrev::None,
            (None, false) => StreamPrev::Elsewhere(Hash(self.input.array()?)),
            (Some(_), false) | (None, true) => {
                return Err(FormatError::NotCanonical {
                    rule: "flag 16 ⇔ the stream has an earlier receipt in the frame",
                });
            }
        };
        Ok((seq, prev))
    }

    fn links(&mut self) -> Result<Vec<Link>, FormatError> {
        let count = usize::from(self.input.u8()?);
        if count == 0 || count > LINKS_MAX {
            return Err(FormatError::UnknownValue { field: "number of links", found: count as u64 });
        }
        (0..count).map(|_| Ok(Link { index: LeafIndex(self.input.u64()?), leaf: Hash(self.input.array()?) })).collect()
    }
}

impl Head {
    /// Rebuilds the envelope of the receipt at place `at` of a frame. `leaf_of` gives the leaf hashes of earlier places.
    pub(super) fn envelope(
        &self,
        start: &FrameStart,
        at: usize,
        names: HeadNames,
        leaf_of: &mut dyn FnMut(usize) -> LeafHash,
    ) -> Result<Envelope, FormatError> {
        if names.kind.is_control() != self.control {
            return Err(FormatError::NotCanonical { rule: "control flag ⇔ kind ledger.*" });
        }
        let control_head = self.control_at.map_or(start.control_head, &mut *leaf_of);
        let envelope = Envelope {
            index: LeafIndex(start.first.0.saturating_add(at as u64)),
            time: start.time,
            prev: if at == 0 { start.prev } else { leaf_of(at - 1) },
            control_seq: self.control_seq,
            control_head,
            stream: names.stream,
            stream_seq: self.stream_seq,
            stream_prev: match self.stream_prev {
                StreamPrev::None if self.control => control_head,
                StreamPrev::None => Hash::ZERO,
                StreamPrev::InFrame { at } => leaf_of(at),
                StreamPrev::Elsewhere(leaf) => leaf,
            },
            kind: names.kind,
            class: self.class,
            writer: names.writer,
            writer_signature: self.writer_signature.clone(),
            closes_stream: self.closes_stream,
            media: self.media,
            links: self.links.clone(),
            subject: self.subject,
            commitment: Commitment { algorithm: start.commitment, digest: self.digest },
        };
        envelope.check()?;
        Ok(envelope)
    }
}
