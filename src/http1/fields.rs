//! The fields of a message, in their order.
//!
//! A message has few of them. To compare their names costs less than to hash one name, so this is a
//! list, and no map. Most lookups are for fields that are not there: a set of marks, one for each name,
//! says so without a look at the list.

#[cfg(test)]
use std::ops::Index;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of a head.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    list: Vec<(HeaderName, HeaderValue)>,
    /// The marks of all names in the list, and of some that were removed from it.
    marks: u64,
}

/// How many marks there are.
pub(super) const MARKS: usize = 64;

/// The mark of a name, the same for each of its spellings. Other names may have the same one. The names
/// of S3 begin alike: they differ in their lengths, in their middles and at their ends.
pub(super) const fn mark_of(name: &[u8]) -> usize {
    let [.., last] = name else { return 0 };
    let middle = name[name.len() / 2];
    // Upper and lower case of a letter differ in this bit alone.
    let lower = 0x20;
    (name.len() + 5 * (*last | lower) as usize + 7 * (middle | lower) as usize) % MARKS
}

/// The set of this mark alone.
const fn only(name: &str) -> u64 {
    1 << mark_of(name.as_bytes())
}

/// A name that a field can be given.
pub trait IntoName: Name {
    /// The name, in lower case.
    fn into_name(self) -> HeaderName;
}

impl IntoName for HeaderName {
    fn into_name(self) -> HeaderName {
        self
    }
}

impl IntoName for &HeaderName {
    fn into_name(self) -> HeaderName {
        self.clone()
    }
}

/// A name from the code, in lower case.
impl IntoName for &'static str {
    fn into_name(self) -> HeaderName {
        HeaderName::from_static(self)
    }
}

/// The values of one field.
#[derive(Debug, Clone)]
pub struct Values<'a, N> {
    rest: std::slice::Iter<'a, (HeaderName, HeaderValue)>,
    name: N,
}

impl<'a, N: Name> Iterator for Values<'a, N> {
    type Item = &'a HeaderValue;

    fn next(&mut self) -> Option<&'a HeaderValue> {
        self.rest.find(|(field, _)| self.name.is(field)).map(|(_, value)| value)
    }
}

/// What a field is looked up by: its name. Names are case-insensitive (RFC 9110 §5.1); in a
/// [`HeaderName`] they are in lower case.
pub trait Name {
    /// Whether it is the name of this field.
    fn is(&self, field: &HeaderName) -> bool;

    /// Its text, in any case.
    fn text(&self) -> &str;
}

impl Name for &str {
    fn is(&self, field: &HeaderName) -> bool {
        let field = field.as_str();
        field.len() == self.len() && field.eq_ignore_ascii_case(self)
    }

    fn text(&self) -> &str {
        self
    }
}

impl Name for HeaderName {
    fn is(&self, field: &HeaderName) -> bool {
        self == field
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl<N: Name> Name for &N {
    fn is(&self, field: &HeaderName) -> bool {
        N::is(self, field)
    }

    fn text(&self) -> &str {
        N::text(self)
    }
}

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self { list: Vec::new(), marks: 0 }
    }

    /// No fields yet, and room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self { list: Vec::with_capacity(fields), marks: 0 }
    }

    /// A copy, with room for so many more.
    #[must_use]
    pub fn with_room(&self, more: usize) -> Self {
        let mut list = Vec::with_capacity(self.list.len() + more);
        list.extend_from_slice(&self.list);
        Self { list, marks: self.marks }
    }

    /// How many there are; one that is repeated counts each time.
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The fields among which this one is searched: none where it cannot be there. Inlined, so that the
    /// mark of a name in the code is computed by the compiler.
    #[inline]
    fn searched(&self, name: &impl Name) -> &[(HeaderName, HeaderValue)] {
        if self.marks & only(name.text()) == 0 { &[] } else { &self.list }
    }

    #[inline]
    fn place(&self, name: &impl Name) -> Option<usize> {
        self.searched(name).iter().position(|(field, _)| name.is(field))
    }

    /// The first value of a field.
    #[inline]
    pub fn get(&self, name: impl Name) -> Option<&HeaderValue> {
        self.searched(&name).iter().find(|(field, _)| name.is(field)).map(|(_, value)| value)
    }

    /// The values of a field, in their order.
    #[inline]
    pub fn get_all<N: Name>(&self, name: N) -> Values<'_, N> {
        Values { rest: self.searched(&name).iter(), name }
    }

    /// Whether the field is there.
    #[inline]
    pub fn contains_key(&self, name: impl Name) -> bool {
        self.place(&name).is_some()
    }

    /// All fields, in their order.
    pub fn iter(&self) -> Iter<'_> {
        self.list.iter().map(|(name, value)| (name, value))
    }

    /// The names, each once.
    pub fn keys(&self) -> impl Iterator<Item = &HeaderName> + Clone {
        let names = self.list.iter().enumerate();
        names.filter_map(|(place, (name, _))| {
            let is_new = self.list[..place].iter().all(|(earlier, _)| earlier != name);
            is_new.then_some(name)
        })
    }

    /// Sets a field: it has this value only.
    pub fn insert(&mut self, name: impl IntoName, value: HeaderValue) {
        let Some(place) = self.place(&name) else { return self.append(name, value) };
        self.list[place].1 = value;
        let mut at = 0..;
        self.list.retain(|(field, _)| at.next().is_some_and(|it| it <= place) || !name.is(field));
    }

    /// Adds a field behind the others.
    pub fn append(&mut self, name: impl IntoName, value: HeaderValue) {
        self.marks |= only(name.text());
        self.list.push((name.into_name(), value));
    }

    /// Removes a field, and returns its first value.
    pub fn remove(&mut self, name: impl Name) -> Option<HeaderValue> {
        let place = self.place(&name)?;
        let (_, value) = self.list.remove(place);
        self.list.retain(|(field, _)| !name.is(field));
        Some(value)
    }

    /// A copy of the fields with these names.
    #[must_use]
    pub fn only(&self, mut goes_along: impl FnMut(&HeaderName) -> bool) -> Self {
        self.list.iter().filter(|(name, _)| goes_along(name)).cloned().collect()
    }

    /// Keeps the fields with these names.
    pub fn retain(&mut self, mut stays: impl FnMut(&HeaderName) -> bool) {
        self.list.retain(|(name, _)| stays(name));
    }
}

/// The same fields with the same values: how the values of a field follow each other has a meaning,
/// how those of different fields do has none (RFC 9110 §5.3).
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.keys().all(|name| self.get_all(name).eq(other.get_all(name)))
    }
}

impl Eq for Fields {}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        let mut all = Self::new();
        all.extend(fields);
        all
    }
}

/// The fields as another server has read them.
impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl Extend<(HeaderName, HeaderValue)> for Fields {
    fn extend<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, fields: I) {
        let before = self.list.len();
        self.list.extend(fields);
        self.marks |=
            self.list[before..].iter().fold(0, |all, (name, _)| all | only(name.as_str()));
    }
}

/// All fields, in their order.
pub type Iter<'a> = std::iter::Map<
    std::slice::Iter<'a, (HeaderName, HeaderValue)>,
    fn(&(HeaderName, HeaderValue)) -> (&HeaderName, &HeaderValue),
>;

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Fields {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// The first value of a field that is there.
#[cfg(test)]
impl<N: Name> Index<N> for Fields {
    type Output = HeaderValue;

    fn index(&self, name: N) -> &HeaderValue {
        self.get(name).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same fields in a map of another library.
    fn both(fields: &[(String, String)]) -> (Fields, HeaderMap) {
        let (mut ours, mut map) = (Fields::new(), HeaderMap::new());
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let value = HeaderValue::from_str(value).unwrap();
            ours.append(&name, value.clone());
            map.append(name, value);
        }
        (ours, map)
    }

    fn is_same(ours: &Fields, map: &HeaderMap) -> bool {
        ours.len() == map.len()
            && ours.keys().eq(map.keys())
            && map.keys().all(|name| ours.get_all(name).eq(map.get_all(name)))
    }

    #[test]
    fn what_goes_along_keeps_its_order() {
        let value = |text| HeaderValue::from_static(text);
        let mut fields = Fields::new();
        for (name, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            fields.append(name, value(text));
        }
        let copy = fields.only(|name| name != "b");
        assert!(
            copy.iter().map(|(_, value)| value).eq([value("1"), value("3"), value("4")].iter())
        );
        fields.retain(|name| name != "b");
        assert_eq!(fields, copy);
    }

    proptest! {
        /// Whatever is done to both, the other one finds the same.
        #[test]
        fn what_is_found_is_what_a_map_finds(
            fields in prop::collection::vec(("[abA]{1,2}|host|x-amz-date", "[a-c]{0,2}"), 0..12),
            wanted in "[abA]{1,2}|Host|x-amz-date",
            set in any::<bool>(),
        ) {
            let (mut ours, mut map) = both(&fields);
            prop_assert!(is_same(&ours, &map), "{ours:?} {map:?}");
            prop_assert_eq!(ours.get(&*wanted), map.get(&*wanted));
            prop_assert_eq!(ours.contains_key(&*wanted), map.contains_key(&*wanted));
            prop_assert!(ours.get_all(&*wanted).eq(map.get_all(&*wanted)));
            prop_assert_eq!(Fields::from(&map), ours.clone());
            let name = HeaderName::from_bytes(wanted.as_bytes()).unwrap();
            if set {
                ours.insert(&name, HeaderValue::from_static("new"));
                map.insert(&name, HeaderValue::from_static("new"));
            } else {
                prop_assert_eq!(ours.remove(&*wanted), map.remove(&*wanted));
            }
            // A map may change the order of names when one is removed.
            let mut names: Vec<_> = map.keys().collect();
            names.sort_by_key(|name| ours.keys().position(|other| other == *name));
            prop_assert!(ours.keys().eq(names));
            prop_assert!(map.keys().all(|name| ours.get_all(name).eq(map.get_all(name))));
            prop_assert_eq!(ours.len(), map.len());
        }
    }

    #[test]
    fn only_the_order_of_one_field_s_values_counts() {
        let of = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            both(&fields.collect::<Vec<_>>()).0
        };
        assert_eq!(
            of(&[("a", "1"), ("b", "2"), ("a", "3")]),
            of(&[("b", "2"), ("a", "1"), ("a", "3")])
        );
        assert_ne!(of(&[("a", "1"), ("a", "3")]), of(&[("a", "3"), ("a", "1")]));
        assert_ne!(of(&[("a", "1")]), of(&[("a", "1"), ("a", "1")]));
        assert_ne!(of(&[("a", "1")]), of(&[("b", "1")]));
    }
}
