//! Who is known at a listener's port.
