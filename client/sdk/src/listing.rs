//! Looking around: which streams there are. From the catalog of the server, so nothing here is proved.

use crate::client::Client;
use crate::error::{Error, VerificationError};
use counterfoil_api::{ConversionError, PAGE_RECEIPTS_MAX, Problem, parse, v1};
use counterfoil_proof::{Kind, LeafIndex, StreamName, Timestamp, TreeSize};

/// One page of streams, in the order of their names' bytes.
#[derive(Clone, Debug)]
pub struct StreamsPage {
    /// The streams. A page may hold none and still have a next one.
    pub streams: Vec<ListedStream>,
    /// Asks for the next page; `None` at the end of what the catalog knows.
    pub next: Option<NextStreams>,
    /// Size of the tree whose receipts the catalog knows. Streams are missing that begin behind it.
    pub taken_in: TreeSize,
    /// Size of the tree that is published.
    pub size: TreeSize,
    /// Streams left out because the server could not read the ledger where they begin or end.
    pub left_out: u64,
}

/// Where the next page of streams begins.
#[derive(Clone, Debug)]
pub struct NextStreams {
    token: String,
    last: Option<StreamName>,
}

/// A stream, as the server's catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedStream {
    /// Its name.
    pub stream: StreamName,
    /// Number of its receipts.
    pub receipts: u64,
    /// Leaf index of its first receipt.
    pub first: LeafIndex,
    /// Time of its first receipt.
    pub first_time: Timestamp,
    /// Leaf index of its last receipt.
    pub last: LeafIndex,
    /// Time of its last receipt.
    pub last_time: Timestamp,
    /// Its last receipt closed it.
    pub closed: bool,
    /// Some of the kinds of its receipts, ascending.
    pub kinds: Vec<Kind>,
    /// True when there are further kinds.
    pub more_kinds: bool,
}

impl Client {
    /// Lists at most `page_size` streams (at most 1 000) whose names begin with `prefix`, the first ones or the ones
    /// that `after` begins. It is checked that the answer is about what was asked, and no more: a listing is where to
    /// look, and [`Client::read`] says what is there.
    ///
    /// # Errors
    /// [`Error::Failed`] when the server keeps no catalog; [`Error::Verification`] when the answer contradicts itself.
    pub async fn streams(
        &self,
        prefix: &str,
        page_size: u32,
        after: Option<&NextStreams>,
    ) -> Result<StreamsPage, Error> {
        let page_size = page_size.clamp(1, PAGE_RECEIPTS_MAX);
        let request = self.request(v1::ListStreamsRequest {
            ledger: self.ledger(),
            prefix: prefix.to_owned(),
            page_size,
            page_token: after.map(|after| after.token.clone()).unwrap_or_default(),
        });
        let answer = self.answer(self.rpc.clone().list_streams(request)).await?;
        page(answer, prefix, after, page_size as usize)
    }
}

/// Reads a page: names that were asked for, ascending, with figures that can be true.
fn page(
    answer: v1::ListStreamsResponse,
    prefix: &str,
    after: Option<&NextStreams>,
    streams_max: usize,
) -> Result<StreamsPage, Error> {
    let found = answer.streams.len();
    if found > streams_max {
        let (asked, found) = (streams_max as u64, found as u64);
        return Err(VerificationError::Count { what: "streams", asked, found }.into());
    }
    let mut last = after.and_then(|after| after.last.clone());
    let mut streams = Vec::with_capacity(found);
    for (at, wire) in answer.streams.into_iter().enumerate() {
        let listed = stream(wire, prefix, last.as_ref()).map_err(|error| error.in_list("streams", at))?;
        last = Some(listed.stream.clone());
        streams.push(listed);
    }
    let next = match answer.next_page_token {
        token if token.is_empty() => None,
        token => Some(NextStreams { token, last }),
    };
    let (taken_in, size) = (TreeSize(answer.taken_in), TreeSize(answer.size));
    Ok(StreamsPage { streams, next, taken_in, size, left_out: answer.left_out })
}

fn stream(wire: v1::Stream, prefix: &str, last: Option<&StreamName>) -> Result<ListedStream, ConversionError> {
    let stream = parse::stream("stream", &wire.stream)?;
    let kinds = wire.kinds.iter().map(|kind| parse::kind("kinds", kind)).collect::<Result<_, _>>()?;
    let width = wire.last_index.checked_sub(wire.first_index).and_then(|distance| distance.checked_add(1));
    for (field, other, agrees) in [
        ("stream", "the prefix asked for", wire.stream.starts_with(prefix)),
        ("stream", "the order of names", last.is_none_or(|last| *last < stream)),
        ("receipts", "its first and last index", (1..=width.unwrap_or(0)).contains(&wire.receipts)),
        ("last_time", "first_time", wire.first_time <= wire.last_time),
    ] {
        if !agrees {
            return Err(ConversionError::new(field, Problem::Contradicts { other }));
        }
    }
    Ok(ListedStream {
        stream,
        receipts: wire.receipts,
        first: LeafIndex(wire.first_index),
        first_time: Timestamp(wire.first_time),
        last: LeafIndex(wire.last_index),
        last_time: Timestamp(wire.last_time),
        closed: wire.closed,
        kinds,
        more_kinds: wire.more_kinds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(stream: &str) -> v1::Stream {
        v1::Stream {
            stream: stream.into(),
            receipts: 3,
            first_index: 4,
            first_time: 5,
            last_index: 6,
            last_time: 7,
            kinds: vec!["k/1".into()],
            ..Default::default()
        }
    }

    fn answer(streams: Vec<v1::Stream>) -> v1::ListStreamsResponse {
        v1::ListStreamsResponse { streams, next_page_token: "on".into(), ..Default::default() }
    }

    fn refused(answer: v1::ListStreamsResponse, after: Option<&NextStreams>) -> String {
        page(answer, "in/", after, 2).unwrap_err().to_string()
    }

    #[test]
    fn a_page_is_read_and_the_next_one_goes_on_behind_it() {
        let first = page(answer(vec![wire("in/a"), wire("in/b")]), "in/", None, 2).unwrap();
        assert_eq!(first.streams[1].stream.as_str(), "in/b");
        let second = page(answer(vec![wire("in/c")]), "in/", first.next.as_ref(), 2).unwrap();
        assert_eq!(second.streams.len(), 1);
        assert!(refused(answer(vec![wire("in/b")]), first.next.as_ref()).contains("streams[0].stream contradicts"));
    }

    #[test]
    fn what_was_not_asked_for_is_refused() {
        assert!(refused(answer(vec![wire("io")]), None).contains("the prefix asked for"));
        assert!(refused(answer(vec![wire("in/b"), wire("in/a")]), None).contains("streams[1].stream"));
        assert!(refused(answer(vec![wire("in/a"), wire("in/b"), wire("in/c")]), None).contains("3 streams"));
    }

    #[test]
    fn figures_that_cannot_be_true_are_refused() {
        for odd in [
            v1::Stream { receipts: 0, ..wire("in/a") },
            v1::Stream { receipts: 4, ..wire("in/a") },
            v1::Stream { first_index: 7, ..wire("in/a") },
            v1::Stream { first_index: 0, last_index: u64::MAX, receipts: 0, ..wire("in/a") },
            v1::Stream { first_time: 8, ..wire("in/a") },
            v1::Stream { kinds: vec!["no version".into()], ..wire("in/a") },
        ] {
            assert!(page(answer(vec![odd.clone()]), "in/", None, 2).is_err(), "{odd:?}");
        }
    }
}
