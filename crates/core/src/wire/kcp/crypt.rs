//! How datagrams are hidden.
