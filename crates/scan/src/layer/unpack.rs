//! Layers as they were before they were packed, with an eye on how far they swell.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use longshore_layer::{Packing, Refused};

use super::budget::{Budget, Exceeded, Unread, is_late};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Opens a layer of a media type.
pub(super) fn open<'a>(layer: impl Read + 'a, media_type: &str, budget: &Budget) -> io::Result<Box<dyn Read + 'a>> {
    let packed = Rc::new(Cell::new(0));
    let mut layer = Counted { inner: layer, count: packed.clone() };
    let mut first = Vec::with_capacity(4);
    layer.by_ref().take(4).read_to_end(&mut first)?;
    let packing = Packing::of(media_type, &first);
    let whole = BufReader::with_capacity(CHUNK, Cursor::new(first).chain(layer));
    let inner: Box<dyn Read + 'a> = match packing {
        Packing::None => Box::new(whole),
        Packing::Gzip => Box::new(Decoder(MultiGzDecoder::new(whole))),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(Packing::LARGEST_WINDOW)?;
            Box::new(Decoder(decoder))
        }
    };
    let limits = budget.limits();
    let (ratio, free, until) = (limits.ratio, limits.free_bytes, limits.until);
    Ok(Box::new(Bounded { inner, packed, unpacked: 0, left: budget.unpacked(), ratio, free, until }))
}

struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, Unread(error)),
        })?;
        self.count.set(self.count.get().saturating_add(length as u64));
        Ok(length)
    }
}

/// A decoder whose complaints about its input are told as damage, in words of our own: its may quote the bytes. That its input could not be read passes.
struct Decoder<R>(R);

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.get_ref() {
            Some(inner) if inner.is::<Unread>() => error,
            _ if error.kind() == io::ErrorKind::Interrupted => error,
            _ if error.kind() == io::ErrorKind::UnexpectedEof => Refused("its packed bytes end too early").into(),
            _ => Refused("it cannot be unpacked").into(),
        })
    }
}

struct Bounded<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    unpacked: u64,
    left: Rc<Cell<u64>>,
    ratio: u64,
    free: u64,
    until: Option<Instant>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if is_late(self.until) {
            return Err(Exceeded::Time.into());
        }
        let length = self.inner.read(buffer)?;
        let read = length as u64;
        self.left.set(self.left.get().checked_sub(read).ok_or(Exceeded::Unpacked)?);
        self.unpacked = self.unpacked.saturating_add(read);
        if self.unpacked > self.free.max(self.packed.get().saturating_mul(self.ratio)) {
            return Err(Exceeded::Ratio.into());
        }
        Ok(length)
    }
}
