//! `multipart/form-data` (RFC 7578), read as it arrives: parts are held until they are whole, the
//! content of the file is handed on at once. No IO.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use super::multipart_header::{Charset, PartHead, boundary};
pub use super::multipart_header::{Fault, Spelling};

/// What is found in a form, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A field before the file.
    Field {
        /// Its name as written.
        name: String,
        /// What it says.
        value: String,
    },
    /// The file begins: the part that is called `file`.
    File {
        /// The file's name as written, empty where there is none.
        file_name: String,
    },
    /// The next bytes of the file's content.
    Content(Bytes),
    /// The file has ended. What follows it says nothing (AWS: PostObject).
    FileEnd,
}

/// A form being read.
#[derive(Debug)]
pub struct Parts {
    spelling: Spelling,
    /// `--` and the boundary.
    marker: Finder<'static>,
    /// What has arrived and is not yet read.
    held: BytesMut,
    /// So much of it is known to hold no delimiter.
    searched: usize,
    state: State,
    /// Bytes read that are not of the file.
    fields_bytes: usize,
    has_file: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// A part's headers.
    Head,
    /// The value of a part that is no file.
    Value { name: String, charset: Charset },
    /// The file's content.
    Content,
    /// Behind the last delimiter.
    Epilogue,
}

/// What came of reading on.
enum Step {
    Found(Piece),
    /// Nothing to tell of.
    Moved,
    /// More has to arrive.
    Waits,
}

/// Where a delimiter is.
enum Found {
    /// It begins at `at`, what follows it at `end`.
    Delimiter { at: usize, end: usize, last: bool },
    /// Nowhere in what has arrived; this many bytes are surely none of it.
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
            // The first delimiter needs no line break before it when it begins the body.
            held: BytesMut::from(&b"\r\n"[..]),
            searched: 0,
            state: State::Preamble,
            fields_bytes: 0,
            has_file: false,
        })
    }

    /// Which spellings it understands.
    pub const fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next piece of what has arrived; `None` when more has to arrive first, or nothing can.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Fault> {
        loop {
            let step = self.step()?;
            // What waits for more is of the fields, too, unless it is of the file.
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

    /// The body has ended: whether the form has, too.
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

    /// The least and the most bytes that the file can have in a body of this many bytes, as far as
    /// is known when the file begins.
    pub fn file_bytes(&self, body_bytes: u64) -> (u64, u64) {
        // The line break that no body began with stands for the one before the last delimiter.
        let around = self.fields_bytes + self.marker.needle().len() + b"--".len();
        let bytes = |others: usize| body_bytes.saturating_sub(others as u64);
        (bytes(FIELDS_BYTES_MAX), bytes(around))
    }

    /// Reads on by one step, if enough has arrived.
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

    /// What stands before a delimiter, and the delimiter.
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

    /// Behind a delimiter; returns what was before it.
    fn begin_part(&mut self, last: bool) -> State {
        std::mem::replace(&mut self.state, if last { State::Epilogue } else { State::Head })
    }

    /// Leaves bytes behind that are not the file's.
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

    /// Whether a part of this name may stand here in the canonical spelling.
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

    /// The next delimiter in what is held: a line of its own, as a boundary may be the beginning of
    /// another text. In the canonical spelling the boundary stands nowhere else.
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
        // The line break before it and all but the last byte of it may have arrived.
        let free = self.held.len().saturating_sub(marker.len() + 1);
        Ok(Found::Nowhere { free: free.max(self.searched.min(self.held.len())) })
    }
}

/// What follows a boundary.
enum Ending {
    /// So many bytes, after which a part begins, or nothing more.
    Line { bytes: usize, last: bool },
    /// Too little has arrived to tell.
    Unsure,
}

impl Ending {
    /// `--`, or a line's end, before which there may be white space; `None` for anything else.
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
