//! Where is the separator that ends first?

use std::ops::Range;

use memchr::{memchr, memmem};

/// A search that goes on as bytes arrive, without looking at any of them twice but for those that may
/// be the start of a separator.
pub(super) struct Search<'a, S> {
    separators: &'a [S],
    shortest: usize,
    longest: usize,
    /// No separator begins before.
    offset: usize,
}

impl<'a, S: AsRef<[u8]>> Search<'a, S> {
    /// # Panics
    /// Without separators, or with an empty one.
    #[track_caller]
    pub(super) fn new(separators: &'a [S]) -> Search<'a, S> {
        let lengths = || separators.iter().map(|it| it.as_ref().len());
        let Some(shortest) = lengths().min() else {
            panic!("there is no separator to read up to: name at least one")
        };
        assert!(
            shortest > 0,
            "a separator is empty: it would be found everywhere"
        );
        Search {
            separators,
            shortest,
            longest: lengths().max().unwrap_or(shortest),
            offset: 0,
        }
    }

    /// The separator in `bytes` that ends first; of those that end together the shortest.
    ///
    /// `bytes` begin with those of the calls before.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        if bytes.len() < self.offset + self.shortest {
            return None;
        }
        let mut found: Option<Range<usize>> = None;
        for separator in self.separators {
            let separator = separator.as_ref();
            // What ends later than the one that is found is of no interest.
            let until = found.as_ref().map_or(bytes.len(), |it| it.end);
            if let Some(at) = find(&bytes[self.offset..until], separator) {
                let start = self.offset + at;
                let candidate = start..start + separator.len();
                let is_better = found
                    .as_ref()
                    .is_none_or(|it| (candidate.end, it.start) < (it.end, candidate.start));
                if is_better {
                    found = Some(candidate);
                }
            }
        }
        if found.is_none() {
            self.offset = self
                .offset
                .max((bytes.len() + 1).saturating_sub(self.longest));
        }
        found
    }

    /// No separator begins before this place.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }
}

fn find(bytes: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => memchr(*byte, bytes),
        _ => memmem::find(bytes, separator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: every place, every separator.
    fn naive(bytes: &[u8], separators: &[Vec<u8>]) -> Option<Range<usize>> {
        (0..=bytes.len()).find_map(|end| {
            separators
                .iter()
                .filter(|it| bytes[..end].ends_with(it))
                .map(|it| end - it.len()..end)
                .min_by_key(|it| it.len())
        })
    }

    #[test]
    fn what_ends_first_is_found_however_bytes_arrive() {
        // All streams of three letters up to length 7, all pairs of short separators.
        let words = |len: u32| {
            (0..3_u32.pow(len)).map(move |number| {
                (0..len)
                    .map(|place| b'a' + (number / 3_u32.pow(place) % 3) as u8)
                    .collect::<Vec<u8>>()
            })
        };
        let separators: Vec<Vec<u8>> = (1..=3).flat_map(words).collect();
        let streams: Vec<Vec<u8>> = words(6).collect();
        for (number, first) in separators.iter().enumerate() {
            let second = &separators[(number * 7 + 3) % separators.len()];
            let pair = [first.clone(), second.clone()];
            for stream in &streams {
                for step in 1..=3 {
                    let mut search = Search::new(&pair);
                    let mut end = 0;
                    let found = loop {
                        end = (end + step).min(stream.len());
                        let found = search.find(&stream[..end]);
                        if found.is_some() || end == stream.len() {
                            break found;
                        }
                    };
                    let expected = naive(stream, &pair);
                    let (found, expected) = (found.map(|it| it.end), expected.map(|it| it.end));
                    assert_eq!(found, expected, "{pair:?} in {stream:?} by {step}");
                }
            }
        }
    }
}
