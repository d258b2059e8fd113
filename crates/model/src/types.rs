//! What types of columns are read as.

use arrow_schema::DataType;

/// Types that are read as numbers: a NULL is NaN, true is 1.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean | DataType::Null => true,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => true,
        DataType::Float16 => false,
        other => other.is_integer() || other.is_floating(),
    }
}

/// Lists of what is read as numbers or text.
pub(crate) fn is_list(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => is_number(item.data_type()) || is_text(item.data_type()),
        other => other == &DataType::Null,
    }
}

/// Types that are read as text.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(key, value) => {
            key.is_integer() && matches!(**value, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        _ => false,
    }
}
