//! Incremental parser of `multipart/form-data` (RFC 7578): fields are kept until they are complete,
//! the content of the file is returned at once. No IO.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::multipart_header::{Charset, PartHead, boundary};
pub use super::multipart_header::{Fault, Spelling};

/// The pieces of a form, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A field before the file.
    Field {
        /// Its name as written.
        name: String,
        /// Its value.
        value: String,
    },
    /// The file begins: the part named `file`.
    File {
        /// The file's name as written, empty where it has none.
        file_name: String,
    },
    /// The next bytes of the file's content.
    Content(Bytes),
    /// The file has ended. Parts after it have no meaning (AWS: PostObject).
    FileEnd,
}

/// A form being read.
#[derive(Debug)]
pub struct Parts {
    spelling: Spelling,
    /// `--` and the boundary.
    marker: Finder<'static>,
    /// Bytes that have arrived and are not yet read.
    held: BytesMut,
    /// How many of these bytes are known to contain no delimiter.
    searched: usize,
    state: State,
    /// How many bytes were read that are not the file's.
    fields_bytes: usize,
    has_file: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// A part's headers.
    Head,
    /// The value of a part that is not the file.
    Value { name: String, charset: Charset },
    /// The file's content.
    Content,
    /// After the last delimiter.
    Epilogue,
}

/// The result of one parsing step.
enum Step {
    Found(Piece),
    /// Progress without a piece to return.
    Moved,
    /// More bytes must arrive.
    Waits,
}

/// Where the next delimiter is.
enum Found {
    /// It begins at `at`, and the bytes after it at `end`.
    Delimiter { at: usize, end: usize, last: bool },
    /// Not in the bytes that have arrived; this many of them are certainly not part of one.
    Nowhere { free: usize },
}

impl Parts {
    /// Begins to read a body of this `Content-Type`.
    pub fn new(content_type: &str, spelling: Spelling) -> Result<Self, Fault> {
        #[cfg(test)]
        crate::readings::count("form");
        let marker = format!("--{}", boundary(content_type, spelling)?);
        Ok(Self {
            spelling,
            marker: Finder::new(marker.as_bytes()).into_owned(),
            // The first delimiter needs no line break before it if the body begins with it.
            held: BytesMut::from(&b"\r\n"[..]),
            searched: 0,
            state: State::Preamble,
            fields_bytes: 0,
            has_file: false,
        })
    }

    /// The spellings that it accepts.
    pub const fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// Adds the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next piece; `None` when more bytes must arrive first, or when nothing can follow.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Fault> {
        loop {
            let step = self.step()?;
            // Incomplete bytes count as the fields', too, unless they are the file's.
            let waits = matches!(step, Step::Waits) && self.state != State::Content;
            let held_bytes = if waits { self.held.len() } else { 0 };
            if self.fields_bytes + held_bytes > FIELDS_BYTES_MAX {
                return Err(Fault::FieldsTooLarge);
            }
            match step {
                Step::Found(piece) => return Ok(Some(piece)),
                Step::Moved => {}
                Step::Waits => return Ok(None),
            }
        }
    }

    /// Checks at the end of the body that the form has ended, too.
    pub fn finish(&self) -> Result<(), Fault> {
        match (&self.state, self.has_file) {
            (State::Epilogue, _) if *self.held == b"\r"[..] => {
                Err(Fault::Ambiguous(NOTHING_FOLLOWS))
            }
            (State::Epilogue, true) => Ok(()),
            (State::Epilogue, false) => Err(Fault::NumberOfFiles),
            _ => Err(Fault::Malformed),
        }
    }

    /// The minimum and the maximum size of the file in a body of this many bytes, as far as they
    /// are known when the file begins.
    pub fn file_bytes(&self, body_bytes: u64) -> (u64, u64) {
        // The line break that was added before the body counts for the one before the last
        // delimiter.
        let around = self.fields_bytes + self.marker.needle().len() + b"--".len();
        let bytes = |others: usize| body_bytes.saturating_sub(others as u64);
        (bytes(FIELDS_BYTES_MAX), bytes(around))
    }

    /// Parses one step, if enough bytes have arrived.
    fn step(&mut self) -> Result<Step, Fault> {
        match self.state {
            State::Preamble | State::Value { .. } => self.before_delimiter(),
            State::Head => self.head(),
            State::Content => self.content(),
            State::Epilogue => self.epilogue(),
        }
    }

    /// The file's content up to a delimiter, then the delimiter.
    fn content(&mut self) -> Result<Step, Fault> {
        let (at, delimiter) = match self.find()? {
            Found::Delimiter { at, end, last } => (at, Some((end, last))),
            Found::Nowhere { free } => (free, None),
        };
        if at > 0 {
            return Ok(Step::Found(Piece::Content(self.held.split_to(at).freeze())));
        }
        let Some((end, last)) = delimiter else { return Ok(Step::Waits) };
        self.pass(end);
        self.begin_part(last);
        Ok(Step::Found(Piece::FileEnd))
    }

    /// The bytes before a delimiter, and the delimiter.
    fn before_delimiter(&mut self) -> Result<Step, Fault> {
        let (at, end, last) = match self.find()? {
            Found::Delimiter { at, end, last } => (at, end, last),
            Found::Nowhere { free } => {
                self.searched = free;
                return Ok(Step::Waits);
            }
        };
        let value = self.held.split_to(at);
        self.fields_bytes += value.len();
        self.pass(end - at);
        match self.begin_part(last) {
            State::Preamble => {
                if self.spelling == Spelling::Canonical && !value.is_empty() {
                    return Err(Fault::Ambiguous("Nothing stands before its first boundary."));
                }
                Ok(Step::Moved)
            }
            State::Value { name, charset } if !self.has_file => {
                let value = charset.text(&value)?;
                Ok(Step::Found(Piece::Field { name, value }))
            }
            _ => Ok(Step::Moved),
        }
    }

    /// Begins the part after a delimiter; returns the state before it.
    fn begin_part(&mut self, last: bool) -> State {
        std::mem::replace(&mut self.state, if last { State::Epilogue } else { State::Head })
    }

    /// Skips bytes that are not the file's.
    fn pass(&mut self, bytes: usize) {
        drop(self.held.split_to(bytes));
        self.fields_bytes += bytes;
        self.searched = 0;
    }

    fn head(&mut self) -> Result<Step, Fault> {
        const END: &[u8] = b"\r\n\r\n";
        let window = &self.held[..self.held.len().min(HEADER_BYTES_MAX)];
        let Some(end) = memchr::memmem::find(window, END) else {
            let may_come = self.held.len() < HEADER_BYTES_MAX;
            return if may_come { Ok(Step::Waits) } else { Err(Fault::Malformed) };
        };
        let headers = std::str::from_utf8(&self.held[..end]).map_err(|_| Fault::Malformed)?;
        let PartHead { name, file_name, charset } = PartHead::parse(headers, self.spelling)?;
        self.pass(end + END.len());
        let is_file = match self.spelling {
            Spelling::Any => name.eq_ignore_ascii_case("file"),
            Spelling::Canonical => name == "file",
        };
        if is_file && self.has_file {
            return Err(Fault::NumberOfFiles);
        }
        if self.spelling == Spelling::Canonical {
            self.check_canonical(&name, file_name.is_some())?;
        }
        if is_file {
            (self.state, self.has_file) = (State::Content, true);
            return Ok(Step::Found(Piece::File { file_name: file_name.unwrap_or_default() }));
        }
        self.state = State::Value { name, charset };
        Ok(Step::Moved)
    }

    /// Whether a part of this name may occur here in the canonical spelling.
    fn check_canonical(&self, name: &str, is_a_file: bool) -> Result<(), Fault> {
        if (name == "file") != is_a_file {
            let why = "The part called \"file\", and no other, has a file's name.";
            return Err(Fault::Ambiguous(why));
        }
        if self.has_file && name != "submit" {
            return Err(Fault::Ambiguous("Only a field \"submit\" may follow the file."));
        }
        Ok(())
    }

    fn epilogue(&mut self) -> Result<Step, Fault> {
        match self.spelling {
            Spelling::Any => self.pass(self.held.len()),
            Spelling::Canonical if b"\r\n".starts_with(&self.held) => {}
            Spelling::Canonical => return Err(Fault::Ambiguous(NOTHING_FOLLOWS)),
        }
        Ok(Step::Waits)
    }

    /// The next delimiter in the held bytes. It must be a whole line, as a boundary may also be the
    /// beginning of another text. In the canonical spelling the boundary occurs nowhere else.
    fn find(&self) -> Result<Found, Fault> {
        let marker = self.marker.needle();
        let mut from = self.searched;
        while let Some(found) = self.held.get(from..).and_then(|rest| self.marker.find(rest)) {
            let at = from + found;
            let rest = &self.held[at + marker.len()..];
            let own_line = at >= 2 && self.held[..at].ends_with(b"\r\n");
            let ending = Ending::of(rest, self.spelling);
            match (own_line, ending) {
                (true, Some(Ending::Unsure)) => return Ok(Found::Nowhere { free: at - 2 }),
                (true, Some(Ending::Line { bytes, last })) => {
                    let end = at + marker.len() + bytes;
                    return Ok(Found::Delimiter { at: at - 2, end, last });
                }
                _ if self.spelling == Spelling::Canonical => {
                    return Err(Fault::Ambiguous(BOUNDARY_ELSEWHERE));
                }
                _ => from = at + 1,
            }
        }
        // The line break before it and all but its last byte may have arrived.
        let free = self.held.len().saturating_sub(marker.len() + 1);
        Ok(Found::Nowhere { free: free.max(self.searched.min(self.held.len())) })
    }
}

/// The bytes after a boundary.
enum Ending {
    /// This many bytes, after which a part begins, or nothing more.
    Line { bytes: usize, last: bool },
    /// Not enough bytes have arrived to decide.
    Unsure,
}

impl Ending {
    /// `--`, or a line's end with white space allowed before it; `None` for anything else.
    fn of(rest: &[u8], spelling: Spelling) -> Option<Self> {
        if rest.starts_with(b"--") {
            return Some(Self::Line { bytes: 2, last: true });
        }
        let blank = match spelling {
            Spelling::Any => rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count(),
            Spelling::Canonical => 0,
        };
        let rest = &rest[blank..];
        if rest.starts_with(b"\r\n") {
            Some(Self::Line { bytes: blank + 2, last: false })
        } else if blank <= PADDING_BYTES_MAX
            && (rest.is_empty() || rest == b"\r" || (blank == 0 && rest == b"-"))
        {
            Some(Self::Unsure)
        } else {
            None
        }
    }
}

/// AWS: "the form data and boundaries (excluding the contents of the file) cannot exceed 20K".
pub const FIELDS_BYTES_MAX: usize = 20 * 1024;
const HEADER_BYTES_MAX: usize = 8 * 1024;
const PADDING_BYTES_MAX: usize = 256;
const NOTHING_FOLLOWS: &str = "Nothing but a line's end follows its last boundary.";
const BOUNDARY_ELSEWHERE: &str = "Its boundary stands only between its parts, as a whole line.";

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
