//! AMF0 (Action Message Format 0, Adobe, 2007), the language of script tags and RTMP commands.

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 16;
/// Most values that are read of one message: some hundreds are usual, in the index of a file some thousands.
const MAX_VALUES: usize = 4096;

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const REFERENCE: u8 = 7;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;
const DATE: u8 = 11;
const LONG_STRING: u8 = 12;
const UNSUPPORTED: u8 = 13;
const XML: u8 = 15;
const TYPED_OBJECT: u8 = 16;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number; AMF0 knows floating point only.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A text. Bytes that are no UTF-8 are replaced when it is read.
    String(String),
    /// Named values, in order. A typed object is read as one.
    Object(Vec<(String, Value)>),
    /// The same, in the form that `onMetaData` has.
    EcmaArray(Vec<(String, Value)>),
    /// Values without names.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970. The time zone is reserved.
    Date(f64),
    /// `null`.
    Null,
    /// `undefined`, and what only has a meaning to Flash: references and the unsupported.
    Undefined,
}

impl Value {
    /// The member of an object or array with this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) | Self::EcmaArray(members) => {
                members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The number that it is.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The truth value that it is; a number is true unless it is 0, as some publishers write them.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            Self::Number(number) => Some(*number != 0.0),
            _ => None,
        }
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(NUMBER);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Boolean(value) => out.extend_from_slice(&[BOOLEAN, u8::from(*value)]),
            Self::String(text) => match u16::try_from(text.len()) {
                Ok(length) => {
                    out.push(STRING);
                    out.extend_from_slice(&length.to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
                Err(_) => {
                    out.push(LONG_STRING);
                    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            },
            Self::Object(members) => {
                out.push(OBJECT);
                write_members(members, out);
            }
            Self::EcmaArray(members) => {
                out.push(ECMA_ARRAY);
                out.extend_from_slice(&u32::try_from(members.len()).unwrap_or(u32::MAX).to_be_bytes());
                write_members(members, out);
            }
            Self::StrictArray(values) => {
                out.push(STRICT_ARRAY);
                out.extend_from_slice(&u32::try_from(values.len()).unwrap_or(u32::MAX).to_be_bytes());
                values.iter().for_each(|value| value.write(out));
            }
            Self::Date(millis) => {
                out.push(DATE);
                out.extend_from_slice(&millis.to_be_bytes());
                out.extend_from_slice(&[0, 0]);
            }
            Self::Null => out.push(NULL),
            Self::Undefined => out.push(UNDEFINED),
        }
    }
}

fn write_members(members: &[(String, Value)], out: &mut Vec<u8>) {
    for (name, value) in members {
        // A longer name has no place in AMF0.
        let name = name.as_bytes().get(..usize::from(u16::MAX)).unwrap_or(name.as_bytes());
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(name);
        value.write(out);
    }
    out.extend_from_slice(&[0, 0, OBJECT_END]);
}

/// The values that bytes consist of, up to the first that cannot be read. An object that is cut off or lacks its end has
/// what was read of it; the number before an ECMA array is not believed.
pub fn read(bytes: &[u8]) -> Vec<Value> {
    let mut reader = Reader { bytes, values: MAX_VALUES };
    let mut out = Vec::new();
    while let Some(value) = reader.value(MAX_DEPTH) {
        out.push(value);
    }
    out
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// How many values may still be read.
    values: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let [kind] = self.take()?;
        self.values = self.values.checked_sub(1)?;
        Some(match kind {
            NUMBER => Value::Number(f64::from_be_bytes(self.take()?)),
            BOOLEAN => Value::Boolean(self.take::<1>()? != [0]),
            STRING => Value::String(self.name()?),
            OBJECT => Value::Object(self.members(depth)),
            NULL => Value::Null,
            UNDEFINED | UNSUPPORTED => Value::Undefined,
            REFERENCE => self.take::<2>().map(|_| Value::Undefined)?,
            ECMA_ARRAY => {
                self.take::<4>()?;
                Value::EcmaArray(self.members(depth))
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.take()?);
                let mut values = Vec::new();
                for _ in 0..count {
                    let Some(value) = self.value(depth) else { break };
                    values.push(value);
                }
                Value::StrictArray(values)
            }
            DATE => {
                let millis = f64::from_be_bytes(self.take()?);
                self.take::<2>()?;
                Value::Date(millis)
            }
            LONG_STRING | XML => {
                let length = u32::from_be_bytes(self.take()?);
                self.text(usize::try_from(length).ok()?).map(Value::String)?
            }
            TYPED_OBJECT => {
                self.name()?;
                Value::Object(self.members(depth))
            }
            _ => return None,
        })
    }

    fn members(&mut self, depth: usize) -> Vec<(String, Value)> {
        let mut members = Vec::new();
        loop {
            if let Some(rest) = self.bytes.strip_prefix(&[0, 0, OBJECT_END]) {
                self.bytes = rest;
                return members;
            }
            let Some(member) = self.name().and_then(|name| Some((name, self.value(depth)?))) else { return members };
            members.push(member);
        }
    }

    fn name(&mut self) -> Option<String> {
        let length = u16::from_be_bytes(self.take()?);
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Option<String> {
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn a_wrong_count_a_missing_end_and_a_date_do_not_matter() {
        // An ECMA array that claims to have nine members, without an end; with a date in it.
        let bytes = b"\x08\0\0\0\x09\0\x01a\x01\x01\0\x01d\x0b\x40\x59\0\0\0\0\0\0\0\0\0\x01b\x00\x40\x59\0\0\0\0\0\0";
        let [value] = &read(bytes)[..] else { panic!() };
        assert_eq!(value.get("a").and_then(Value::boolean), Some(true));
        assert_eq!(value.get("d"), Some(&Value::Date(100.0)));
        assert_eq!(value.get("b").and_then(Value::number), Some(100.0));
        assert_eq!(read(b"\x03\0\x01a\x05\0\x01b\x00\x40"), [Value::Object(vec![("a".into(), Value::Null)])]);
        assert_eq!(read(b"\x05\xff\x05"), [Value::Null]);
    }

    #[test]
    fn nesting_and_number_of_values_are_bounded() {
        assert_eq!(read(&vec![NULL; 2 * MAX_VALUES]).len(), MAX_VALUES);
        let deep: Vec<u8> = std::iter::repeat_n(*b"\x0a\xff\xff\xff\xff", 50_000).flatten().collect();
        let mut depth = 0;
        let mut values = read(&deep);
        while let Some(Value::StrictArray(inner)) = values.pop() {
            (values, depth) = (inner, depth + 1);
        }
        assert_eq!(depth, MAX_DEPTH);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|number| Value::Number(number.into())),
            any::<bool>().prop_map(Value::Boolean),
            "\\PC{0,40}".prop_map(Value::String),
            Just(Value::String("long".repeat(20_000))),
            any::<i32>().prop_map(|millis| Value::Date(millis.into())),
            Just(Value::Null),
            Just(Value::Undefined),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            // A name without letters would look like the end.
            let members = prop::collection::vec(("[a-zé]{1,9}", inner.clone()), 0..5);
            prop_oneof![
                members.clone().prop_map(Value::Object),
                members.prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..5).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_come_back(value in value()) {
            prop_assert_eq!(read(&written(&value)), vec![value]);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..400)) {
            read(&bytes);
        }
    }
}
