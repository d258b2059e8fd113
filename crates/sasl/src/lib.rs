//! The functions of the Cyrus SASL library that librdkafka calls, for Kerberos; the system's own library is loaded when a
//! login first needs it. There is nothing here for Rust: `sasl.c` is linked into librdkafka.
