//! Fields of a message by name. A message has few of them, and to compare their names costs less than
//! to hash one name: most lookups are for fields that are not there.

use http::{HeaderMap, HeaderValue};

/// The values of the fields with this name, in their order.
pub fn values<'a>(
    headers: &'a HeaderMap,
    name: &'a str,
) -> impl Iterator<Item = &'a HeaderValue> + 'a {
    let named = headers.iter().filter(move |(field, _)| is(field.as_str(), name));
    named.map(|(_, value)| value)
}

/// The first value of a field.
pub fn first<'a>(headers: &'a HeaderMap, name: &'a str) -> Option<&'a HeaderValue> {
    values(headers, name).next()
}

/// Whether there is a field with this name.
pub fn has(headers: &HeaderMap, name: &str) -> bool {
    headers.keys().any(|field| is(field.as_str(), name))
}

fn is(field: &str, name: &str) -> bool {
    field.len() == name.len() && field.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_the_map_finds(
            fields in prop::collection::vec(("[abA]{1,2}|host|x-amz-date", "[a-c]{0,2}"), 0..12),
            wanted in "[abA]{1,2}|Host|x-amz-date",
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            let found: Vec<_> = values(&headers, &wanted).collect();
            let expected: Vec<_> = headers.get_all(&*wanted).iter().collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(first(&headers, &wanted), headers.get(&*wanted));
            prop_assert_eq!(has(&headers, &wanted), headers.contains_key(&*wanted));
        }
    }
}
