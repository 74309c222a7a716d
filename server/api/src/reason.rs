//! Machine-readable reasons: `ErrorInfo.reason` under [`DOMAIN`], and the facts in its metadata.

/// `ErrorInfo.domain` of every error of this product.
pub const DOMAIN: &str = "counterfoil";

/// Metadata key under which every error says what to do next, in a sentence.
pub const NEXT: &str = "next";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub const $name: &str = stringify!($name);
    )*};
}

reasons! {
    /// A field of the request is malformed.
    BAD_REQUEST,
    /// The batch holds no receipt.
    EMPTY_BATCH,
    /// Too many receipts in one batch.
    TOO_MANY_RECEIPTS,
    /// Too many bytes in one batch.
    BATCH_TOO_LARGE,
    /// A receipt of the batch is malformed.
    BAD_RECEIPT,
    /// A payload is larger than allowed.
    PAYLOAD_TOO_LARGE,
    /// A payload is not what its media type says.
    BAD_PAYLOAD,
    /// A stream or kind is reserved for the ledger itself.
    RESERVED_NAME,
    /// A link names no earlier receipt.
    UNKNOWN_LINK,
    /// A page token does not belong to this request.
    BAD_PAGE_TOKEN,
    /// The stream is closed.
    STREAM_CLOSED,
    /// The retention class does not exist.
    UNKNOWN_CLASS,
    /// The request id was used for other content.
    ID_REUSED,
    /// An earlier batch of the same session was refused.
    EARLIER_BATCH_REFUSED,
    /// Another writer was first.
    LOST_RACE,
    /// The ledger is open for reading only.
    READ_ONLY,
    /// A write or sync failed; the ledger must be reopened.
    POISONED,
    /// The ledger is open without a catalog.
    NO_CATALOG,
    /// The catalog stopped; the ledger does without.
    CATALOG_FAILED,
    /// Too much is waiting to be written.
    OVERLOADED,
    /// No space is left on the disk.
    DISK_FULL,
    /// The server has no ledger of this name.
    UNKNOWN_LEDGER,
    /// There is no receipt at this index.
    UNKNOWN_INDEX,
    /// There is no stream of this name.
    UNKNOWN_STREAM,
    /// No tree of this size is published.
    UNKNOWN_SIZE,
    /// Stored bytes do not lead to their hash.
    CORRUPT,
    /// The disk failed to read.
    READ_FAILED,
    /// The server failed in a way it does not know.
    INTERNAL,
    /// The ledger is closing.
    CLOSING,
}
